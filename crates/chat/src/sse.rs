//! Server-sent events as an upstream sends them (WHATWG HTML, 9.2.6), split anywhere.
//!
//! Only `data` matters to a model's answer; `event`, `id`, `retry` and comments are read over. One
//! liberty: an event whose blank line is missing at the end of the stream still counts, because
//! some servers close right after `data: [DONE]`. A line without its end does not.

/// The longest line: no model sends more in one piece.
pub(crate) const MAX_LINE: usize = 256 * 1024;
/// The most data that one event may hold.
pub(crate) const MAX_EVENT: usize = 1024 * 1024;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A line or an event is longer than we are willing to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line or an event of the stream is too long")]
pub(crate) struct TooLong;

/// Bytes in, the `data` of each event out. Keeps at most one line and one event.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    data: Option<String>,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    began: bool,
}

impl Parser {
    /// Reads `chunk` and appends the data of each event that it completes.
    pub(crate) fn push(&mut self, mut chunk: &[u8], events: &mut Vec<String>) -> Result<(), TooLong> {
        while let Some(first) = chunk.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                chunk = &chunk[1..];
                continue;
            }
            let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &chunk[..end.unwrap_or(chunk.len())];
            if self.line.len() + part.len() > MAX_LINE {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { return Ok(()) };
            self.after_cr = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            events.extend(self.end_line()?);
        }
        Ok(())
    }

    /// The stream is over: what a missing blank line held back.
    pub(crate) fn finish(&mut self) -> Option<String> {
        self.line.clear();
        self.data.take()
    }

    fn end_line(&mut self) -> Result<Option<String>, TooLong> {
        let line = std::mem::take(&mut self.line);
        let mut rest = line.as_slice();
        if !std::mem::replace(&mut self.began, true) {
            rest = rest.strip_prefix(BOM).unwrap_or(rest);
        }
        let event = if rest.is_empty() { self.data.take() } else { self.read_field(rest)? };
        // The buffer is used again, so that a token costs no allocation here.
        self.line = line;
        self.line.clear();
        Ok(event)
    }

    fn read_field(&mut self, line: &[u8]) -> Result<Option<String>, TooLong> {
        let Some(rest) = line.strip_prefix(b"data") else { return Ok(None) };
        let value = match rest {
            [] => rest,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => return Ok(None),
        };
        let value = String::from_utf8_lossy(value);
        match &mut self.data {
            None => self.data = Some(value.into_owned()),
            Some(data) if data.len() + 1 + value.len() > MAX_EVENT => return Err(TooLong),
            Some(data) => {
                data.push('\n');
                data.push_str(&value);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(chunks: &[&[u8]]) -> Result<Vec<String>, TooLong> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for chunk in chunks {
            parser.push(chunk, &mut events)?;
        }
        events.extend(parser.finish());
        Ok(events)
    }

    #[test]
    fn every_line_end_ends_a_line_once() {
        for text in ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"] {
            assert_eq!(parse(&[text.as_bytes()]).unwrap(), ["a", "b"], "{text:?}");
        }
    }

    #[test]
    fn an_event_is_out_before_the_byte_after_its_last_line_end() {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        parser.push(b"data: a\r\n\r", &mut events).unwrap();
        assert_eq!(events, ["a"], "a carriage return need not wait for its line feed");
        parser.push(b"\ndata: b\n\n", &mut events).unwrap();
        assert_eq!(events, ["a", "b"]);
    }

    #[test]
    fn other_fields_and_comments_are_read_over() {
        let text =
            b"\xEF\xBB\xBF: hello\nevent: x\nid: 1\nretry: 5\ndata:a\ndata:  b\ndata\ndatax: c\nnonsense\n\n: end\n\n";
        assert_eq!(parse(&[text]).unwrap(), ["a\n b\n"]);
    }

    #[test]
    fn only_the_stream_may_begin_with_a_byte_order_mark() {
        assert!(parse(&[b"\n\xEF\xBB\xBFdata: a\n\n"]).unwrap().is_empty());
        assert_eq!(parse(&[b"\xEF", b"\xBB", b"\xBFdata: a\n\n"]).unwrap(), ["a"]);
    }

    #[test]
    fn a_missing_blank_line_at_the_end_is_forgiven_and_half_a_line_is_not() {
        assert_eq!(parse(&[b"data: [DONE]\n"]).unwrap(), ["[DONE]"]);
        assert!(parse(&[b"data: [DONE]"]).unwrap().is_empty());
    }

    #[test]
    fn memory_has_a_limit() {
        let long = vec![b'x'; MAX_LINE];
        assert_eq!(parse(&[&long, b"y"]), Err(TooLong));
        assert!(parse(&[&long]).is_ok());
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &long[..MAX_LINE - 6], b"\n"].concat();
        let fed = (0..=MAX_EVENT / MAX_LINE + 1).try_for_each(|_| parser.push(&line, &mut Vec::new()));
        assert_eq!(fed, Err(TooLong), "many lines make one event too long");
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"data".to_vec()),
            Just(b"data: ".to_vec()),
            Just(b": c".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\n\n".to_vec()),
            Just(BOM.to_vec()),
            Just("é☂".as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..6),
        ];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn chunking_changes_nothing(text in stream(), sizes in prop::collection::vec(1_usize..9, 1..40)) {
            let (mut chunks, mut rest) = (Vec::new(), text.as_slice());
            for size in sizes.iter().cycle().take(text.len()) {
                let (chunk, tail) = rest.split_at((*size).min(rest.len()));
                chunks.push(chunk);
                rest = tail;
            }
            prop_assert_eq!(parse(&chunks), parse(&[&text]));
        }
    }
}

//! From bytes that come in pieces to rows, each with the line on which it begins.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::options::Delimiter;

/// The most bytes of a row; of a longer one, which may be a quote that is never closed, nothing is kept.
const MAX_ROW: usize = 64 * 1024;
/// The most fields of a row; more are a row that is too long.
const MAX_FIELDS: usize = 1024;

/// A row of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawRow {
    /// The line on which it begins, from 1.
    pub(crate) line: u64,
    /// Where it ends, in bytes from the beginning of the file.
    pub(crate) end: u64,
    pub(crate) state: RowState,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowState {
    Whole,
    /// Its fields are not there.
    TooLong,
    /// The file ends within a quote.
    Unclosed,
}

impl RawRow {
    pub(crate) fn fields(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end)).collect()
    }

    /// What spreadsheets leave below a table: delimiters, and nothing between them.
    pub(crate) fn is_blank(&self) -> bool {
        self.state == RowState::Whole && self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

/// Splits a file from a place where a row begins.
pub(crate) struct Splitter {
    reader: Reader,
    position: u64,
    line: u64,
    last: u8,
    /// Where the row that is being read begins.
    begun: Option<u64>,
    bytes: Vec<u8>,
    filled: usize,
    ends: Vec<usize>,
    ended: usize,
    too_long: bool,
}

impl Splitter {
    /// `position` bytes and `line` line ends come before; the first byte is the beginning of a row.
    pub(crate) fn new(delimiter: Delimiter, position: u64, lines: Lines) -> Self {
        Self {
            reader: ReaderBuilder::new().delimiter(delimiter.byte()).build(),
            position,
            line: lines.line,
            last: lines.last,
            begun: None,
            bytes: vec![0; 1024],
            filled: 0,
            ends: vec![0; 64],
            ended: 0,
            too_long: false,
        }
    }

    /// Reads from `input`, whose end is that of the file where it is empty. Says how much it has read, and the row
    /// if one has ended. Without a row all is read.
    pub(crate) fn read(&mut self, input: &[u8]) -> (usize, Option<RawRow>) {
        let is_end = input.is_empty();
        if is_end && self.begun.is_none() {
            return (0, None);
        }
        // A line end ends any row that is not within quotes.
        let input = if is_end { b"\n" } else { input };
        let mut read = 0;
        loop {
            let rest = input.get(read..).unwrap_or_default();
            let (bytes, ends) = (&mut self.bytes[self.filled..], &mut self.ends[self.ended..]);
            let (result, taken, filled, ended) = self.reader.read_record(rest, bytes, ends);
            if !is_end {
                self.count(rest.get(..taken).unwrap_or_default());
            }
            read += taken;
            self.filled += filled;
            self.ended += ended;
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End if is_end => return (0, Some(self.take(true))),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return (read, None),
                ReadRecordResult::Record => return (if is_end { 0 } else { read }, Some(self.take(false))),
                ReadRecordResult::OutputFull if self.bytes.len() < MAX_ROW => {
                    self.bytes.resize(self.bytes.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_FIELDS => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                // Read on to its end, and keep nothing.
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    (self.filled, self.ended, self.too_long) = (0, 0, true);
                }
            }
        }
    }

    fn take(&mut self, is_unclosed: bool) -> RawRow {
        let state = match (self.too_long, is_unclosed) {
            (true, _) => RowState::TooLong,
            (false, true) => RowState::Unclosed,
            (false, false) => RowState::Whole,
        };
        let is_whole = state == RowState::Whole;
        let row = RawRow {
            line: self.begun.take().unwrap_or(self.line),
            end: self.position,
            state,
            bytes: if is_whole { self.bytes[..self.filled].to_vec() } else { Vec::new() },
            ends: if is_whole { self.ends[..self.ended].to_vec() } else { Vec::new() },
        };
        (self.filled, self.ended, self.too_long) = (0, 0, false);
        row
    }

    fn count(&mut self, bytes: &[u8]) {
        self.position += bytes.len() as u64;
        for byte in bytes {
            if self.begun.is_none() && !matches!(byte, b'\r' | b'\n') {
                self.begun = Some(self.line);
            }
            let mut lines = Lines { line: self.line, last: self.last };
            lines.count(*byte);
            (self.line, self.last) = (lines.line, lines.last);
        }
    }
}

/// Counts lines: `\n`, `\r` and both together end one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lines {
    line: u64,
    last: u8,
}

impl Lines {
    pub(crate) const fn new() -> Self {
        Self { line: 1, last: 0 }
    }

    pub(crate) fn count(&mut self, byte: u8) {
        if byte == b'\r' || byte == b'\n' && self.last != b'\r' {
            self.line += 1;
        }
        self.last = byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line, end, state and fields of each row, read in pieces of `size` bytes.
    fn rows(text: &[u8], size: usize) -> Vec<(u64, u64, RowState, Vec<String>)> {
        let mut splitter = Splitter::new(Delimiter::Comma, 0, Lines::new());
        let (mut rows, mut at) = (Vec::new(), 0);
        loop {
            let input = &text[at..text.len().min(at + size)];
            let (read, row) = splitter.read(input);
            at += read;
            match row {
                None if input.is_empty() => return rows,
                None => assert_eq!(read, input.len(), "without a row all is read"),
                Some(row) => {
                    let fields = row.fields().into_iter().map(|field| String::from_utf8_lossy(field).into_owned());
                    rows.push((row.line, row.end, row.state, fields.collect()));
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_line_on_which_it_begins_however_the_bytes_come() {
        let text = b"a,b\r\n\r\n1,\"two\r\nlines\"\r\n\n\"x \"\"y\"\"\",\n3,4\r5,6";
        let expected = [(1, "a|b"), (3, "1|two\r\nlines"), (6, "x \"y\"|"), (7, "3|4"), (8, "5|6")];
        for size in [1, 2, 3, 7, 1000] {
            let rows = rows(text, size);
            let seen: Vec<_> = rows.iter().map(|(line, _, _, fields)| (*line, fields.join("|"))).collect();
            let expected: Vec<_> = expected.iter().map(|(line, fields)| (*line, (*fields).to_owned())).collect();
            assert_eq!(seen, expected, "{size}");
            assert_eq!(rows.last().unwrap().1, text.len() as u64);
            assert!(rows.iter().all(|row| row.2 == RowState::Whole));
        }
    }

    #[test]
    fn from_the_end_of_any_row_the_rest_is_the_same() {
        let text = b"a,b\r\n\r\n1,\"two\r\nlines\"\r\n\nx,y\n3,4\r5,6";
        let whole = rows(text, 5);
        for (index, (_, end, _, _)) in whole.iter().enumerate() {
            let mut lines = Lines::new();
            text[..usize::try_from(*end).unwrap()].iter().for_each(|byte| lines.count(*byte));
            let mut splitter = Splitter::new(Delimiter::Comma, *end, lines);
            let mut at = usize::try_from(*end).unwrap();
            for (line, end, ..) in &whole[index + 1..] {
                let (read, row) = splitter.read(&text[at..]);
                let row = row.or_else(|| splitter.read(&[]).1).unwrap();
                at += read;
                assert_eq!((row.line, row.end), (*line, *end));
            }
        }
    }

    #[test]
    fn a_row_without_an_end_is_not_kept_and_the_next_one_is_found() {
        let long = format!("a\n\"{}\n\",b\nc\n", "x".repeat(MAX_ROW));
        for size in [1000, 100_000] {
            let rows = rows(long.as_bytes(), size);
            let seen: Vec<_> = rows.iter().map(|row| (row.0, row.2, row.3.len())).collect();
            assert_eq!(seen, [(1, RowState::Whole, 1), (2, RowState::TooLong, 0), (4, RowState::Whole, 1)], "{size}");
        }
        let many = format!("a\n{}\nb\n", ",".repeat(2 * MAX_FIELDS));
        let states: Vec<_> = rows(many.as_bytes(), 100).iter().map(|row| row.2).collect();
        assert_eq!(states, [RowState::Whole, RowState::TooLong, RowState::Whole]);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_said() {
        let states = |text: &str| rows(text.as_bytes(), 4).iter().map(|row| row.2).collect::<Vec<_>>();
        assert_eq!(states("a\n\"b,c\nd"), [RowState::Whole, RowState::Unclosed]);
        assert_eq!(states("a\n\"b\""), [RowState::Whole, RowState::Whole]);
        assert_eq!(states("a\nb"), [RowState::Whole, RowState::Whole]);
        assert_eq!(states("a\n\""), [RowState::Whole, RowState::Unclosed]);
        assert_eq!(states("\n\n"), []);
    }
}

//! HTML, written so that what people typed cannot become markup: only literals go in as they are.

use std::fmt::Write as _;

/// A piece of a page.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of ours.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Words, as they are read.
    pub(super) fn text(&mut self, words: &str) -> &mut Self {
        for sign in words.chars() {
            match sign {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// A number.
    pub(super) fn number(&mut self, number: impl Into<i64>) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{}", number.into());
        self
    }

    /// ` name="value"`.
    pub(super) fn attribute(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }

    /// Markup of ours, where `condition` holds.
    pub(super) fn raw_if(&mut self, condition: bool, markup: &'static str) -> &mut Self {
        if condition { self.raw(markup) } else { self }
    }

    /// Another piece.
    pub(super) fn put(&mut self, piece: &Self) -> &mut Self {
        self.0.push_str(&piece.0);
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_values_of_attributes_stay_what_they_are() {
        let mut html = Html::default();
        html.raw("<p").attribute("title", "\"><script>'").raw(">").text("<b>&amp;</b>").number(7).raw("</p>");
        let text = "<p title=\"&quot;&gt;&lt;script&gt;&#39;\">&lt;b&gt;&amp;amp;&lt;/b&gt;7</p>";
        assert_eq!(html.into_string(), text);
    }
}

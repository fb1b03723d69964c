use super::{Answer, Failure};
use crate::{Usage, text::count_words};

/// Says the message back, word by word: a bot without a model still answers.
pub(crate) fn echo(message: &str, answer: &Answer<'_>) -> Result<Usage, Failure> {
    for word in format!("You said: {message}").split_inclusive(char::is_whitespace) {
        answer.say(word.to_owned())?;
    }
    Ok(Usage { input_tokens: count_words(message), output_tokens: answer.words() })
}

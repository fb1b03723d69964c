//! Questions as parts of a form, for each kind of answer.

use workflow::{Field, InputType};

use super::html::Html;

/// More than these are a list to open.
const MAX_RADIOS: usize = 7;

/// One question on the page.
pub(super) struct Question<'a> {
    pub(super) field: &'a Field,
    /// What was answered and did not fit, to be mended.
    pub(super) kept: Vec<&'a str>,
    /// Why it did not fit.
    pub(super) error: Option<&'a str>,
    /// Whether it is the page's heading: it is the only question.
    pub(super) is_heading: bool,
}

/// What the question's answer is called in the form, and its first control in the page. No other name
/// of ours begins so.
pub(super) fn name_of(field: &Field) -> String {
    format!("f-{}", field.id)
}

impl Question<'_> {
    /// The question with its control.
    pub(super) fn write(&self, html: &mut Html) {
        match self.field.input_type {
            InputType::Text | InputType::Textarea | InputType::Number | InputType::Date | InputType::Email => {
                self.write_single(html, |html| self.write_control(html));
            }
            InputType::Select if self.field.options.len() > MAX_RADIOS => {
                self.write_single(html, |html| self.write_list(html));
            }
            InputType::Select => self.write_group(html, "choices", |html| self.write_options(html, "radio")),
            InputType::Multiselect => self.write_group(html, "choices", |html| self.write_options(html, "checkbox")),
            InputType::Boolean => self.write_group(html, "choices row", |html| {
                self.write_choice(html, "radio", "true", "Yes", true);
                self.write_choice(html, "radio", "false", "No", false);
                self.write_none(html);
            }),
            InputType::Nps => self.write_scale(html, 0, 10, Some(("Not likely", "Very likely"))),
            InputType::Rating => self.write_scale(html, 1, self.steps(), None),
        }
    }

    /// How many steps a rating has.
    fn steps(&self) -> u8 {
        let most = self.field.max.unwrap_or(5.0);
        (2..=10).rev().find(|steps| f64::from(*steps) <= most).unwrap_or(5)
    }

    fn is_nps(&self) -> bool {
        self.field.input_type == InputType::Nps
    }

    fn keeps(&self, value: &str) -> bool {
        self.kept.contains(&value)
    }

    /// A label and one control.
    fn write_single(&self, html: &mut Html, control: impl FnOnce(&mut Html)) {
        html.raw("<div class=\"field").raw(if self.error.is_some() { " wrong\">\n" } else { "\">\n" });
        self.write_prompt(html, |html, prompt| {
            html.raw("<label dir=\"auto\"")
                .attribute("for", &name_of(self.field))
                .raw(">")
                .text(prompt)
                .raw("</label>");
        });
        self.write_notes(html);
        control(html);
        html.raw("</div>\n");
    }

    /// Several controls under one question.
    fn write_group(&self, html: &mut Html, class: &'static str, controls: impl FnOnce(&mut Html)) {
        html.raw("<fieldset class=\"field").raw(if self.error.is_some() { " wrong\"" } else { "\"" });
        self.write_described(html);
        html.raw(">\n<legend dir=\"auto\">");
        self.write_prompt(html, |html, prompt| {
            html.text(prompt);
        });
        html.raw("</legend>\n");
        self.write_notes(html);
        html.raw("<div class=\"").raw(class).raw("\">\n");
        controls(html);
        html.raw("</div>\n</fieldset>\n");
    }

    fn write_prompt(&self, html: &mut Html, prompt: impl FnOnce(&mut Html, &str)) {
        if self.is_heading {
            html.raw("<h1 tabindex=\"-1\" data-focus>");
            prompt(html, &self.field.prompt);
            html.raw("</h1>");
        } else {
            prompt(html, &self.field.prompt);
        }
    }

    /// What is expected, and what was wrong.
    fn write_notes(&self, html: &mut Html) {
        let name = name_of(self.field);
        html.raw("<p class=\"hint\"")
            .attribute("id", &format!("{name}-hint"))
            .raw(">")
            .text(&self.hint())
            // Where there is room, it is also seen under the scale.
            .raw_if(self.is_nps(), "<span class=\"in-words\"> 0 is not likely, 10 is very likely.</span>")
            .raw("</p>\n");
        if let Some(error) = self.error {
            html.raw("<p class=\"error\"").attribute("id", &format!("{name}-error")).raw(">");
            html.raw("<span class=\"unseen\">Error: </span>").text(error).raw("</p>\n");
        }
    }

    fn write_described(&self, html: &mut Html) {
        let name = name_of(self.field);
        let error = if self.error.is_some() { format!(" {name}-error") } else { String::new() };
        html.attribute("aria-describedby", &format!("{name}-hint{error}"));
    }

    fn hint(&self) -> String {
        let field = self.field;
        let mut words = vec![if field.required { "Required." } else { "Optional." }.to_owned()];
        match field.input_type {
            InputType::Multiselect => words.push("Choose all that apply.".to_owned()),
            InputType::Number => match (field.min, field.max) {
                (Some(min), Some(max)) => words.push(format!("A number from {min} to {max}.")),
                (Some(min), None) => words.push(format!("A number, {min} or more.")),
                (None, Some(max)) => words.push(format!("A number, {max} or less.")),
                (None, None) => {}
            },
            InputType::Text | InputType::Textarea => match (field.min_length, field.max_length) {
                (Some(min), Some(max)) if max < 4000 => words.push(format!("{min} to {max} characters.")),
                (Some(min), _) => words.push(format!("At least {min} characters.")),
                (None, Some(max)) if max < 4000 => words.push(format!("At most {max} characters.")),
                _ => {}
            },
            InputType::Rating => words.push(format!("1 is the lowest, {} the highest.", self.steps())),
            InputType::Email => words.push("Such as name@example.com.".to_owned()),
            InputType::Select | InputType::Boolean | InputType::Date | InputType::Nps => {}
        }
        words.join(" ")
    }

    /// What every single control has.
    fn write_identity(&self, html: &mut Html) {
        let name = name_of(self.field);
        html.attribute("id", &name).attribute("name", &name);
        self.write_described(html);
        html.raw_if(self.field.required, " required");
        html.raw_if(self.error.is_some(), " aria-invalid=\"true\"");
    }

    fn write_control(&self, html: &mut Html) {
        let kept = self.kept.first().copied().unwrap_or_default();
        if self.field.input_type == InputType::Textarea {
            html.raw("<textarea rows=\"6\" dir=\"auto\"");
            self.write_identity(html);
            // The first line break after the tag is not part of the text (HTML, section 13.1.2.5).
            html.raw(">\n").text(kept).raw("</textarea>\n");
            return;
        }
        html.raw(match self.field.input_type {
            InputType::Email => "<input type=\"email\" autocomplete=\"email\" class=\"long\"",
            InputType::Date => "<input type=\"date\" class=\"short\"",
            InputType::Number => "<input type=\"text\" inputmode=\"decimal\" autocomplete=\"off\" class=\"short\"",
            _ => "<input type=\"text\" dir=\"auto\" class=\"long\"",
        });
        self.write_identity(html);
        html.attribute("value", kept).raw(">\n");
    }

    fn write_list(&self, html: &mut Html) {
        html.raw("<select");
        self.write_identity(html);
        html.raw(">\n<option value=\"\">Choose…</option>\n");
        for option in &self.field.options {
            html.raw("<option").attribute("value", &option.value);
            html.raw_if(self.keeps(&option.value), " selected");
            html.raw(">").text(label(option)).raw("</option>\n");
        }
        html.raw("</select>\n");
    }

    fn write_options(&self, html: &mut Html, kind: &'static str) {
        for (at, option) in self.field.options.iter().enumerate() {
            self.write_choice(html, kind, &option.value, label(option), at == 0);
        }
        if kind == "radio" {
            self.write_none(html);
        }
    }

    /// A choice of nothing: what was chosen by mistake can be taken back.
    fn write_none(&self, html: &mut Html) {
        if !self.field.required {
            self.write_choice(html, "radio", "", "No answer", false);
        }
    }

    fn write_scale(&self, html: &mut Html, from: u8, to: u8, ends: Option<(&'static str, &'static str)>) {
        self.write_group(html, "scale", |html| {
            html.raw("<div class=\"steps").raw_if(self.is_nps(), " eleven").raw("\">\n");
            for step in from..=to {
                let text = step.to_string();
                self.write_choice(html, "radio", &text, &text, step == from);
            }
            html.raw("</div>\n");
            if let Some((low, high)) = ends {
                // The hint has said it already.
                html.raw("<p class=\"ends\" aria-hidden=\"true\"><span>").raw(low).raw("</span><span>");
                html.raw(high).raw("</span></p>\n");
            }
            self.write_none(html);
        });
    }

    fn write_choice(&self, html: &mut Html, kind: &'static str, value: &str, words: &str, is_first: bool) {
        let name = name_of(self.field);
        html.raw("<label class=\"choice\"><input type=\"").raw(kind).raw("\"").attribute("name", &name);
        html.attribute("value", value);
        if is_first {
            html.attribute("id", &name);
        }
        html.raw_if(self.field.required && kind == "radio", " required");
        html.raw_if(self.keeps(value), " checked");
        html.raw("><span dir=\"auto\">").text(words).raw("</span></label>\n");
    }
}

fn label(option: &workflow::SelectOption) -> &str {
    if option.label.is_empty() { &option.value } else { &option.label }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(input_type: &str, more: &serde_json::Value) -> Field {
        let mut value = json!({"id": "q", "prompt": "Why <b>?", "input_type": input_type, "required": true});
        for (name, member) in more.as_object().unwrap() {
            value[name] = member.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn page(field: &Field, kept: &[&str], error: Option<&str>) -> String {
        let mut html = Html::default();
        Question { field, kept: kept.to_vec(), error, is_heading: true }.write(&mut html);
        html.into_string()
    }

    #[test]
    fn every_kind_of_answer_has_its_control_under_its_question() {
        let options = json!({"options": [{"value": "a", "label": "A & B"}, {"value": "b"}]});
        let many: Vec<_> = (0..8).map(|at| json!({"value": format!("v{at}"), "label": "x"})).collect();
        let kinds = [
            ("text", json!({}), "<input type=\"text\" dir=\"auto\"", 1),
            ("textarea", json!({}), "<textarea", 1),
            ("select", options.clone(), "type=\"radio\"", 2),
            ("select", json!({ "options": many }), "<option value=\"v", 8),
            ("multiselect", options, "type=\"checkbox\"", 2),
            ("rating", json!({"max": 4.0}), "type=\"radio\"", 4),
            ("nps", json!({}), "type=\"radio\"", 11),
            ("boolean", json!({}), "type=\"radio\"", 2),
            ("number", json!({"min": 1.0, "max": 9.5}), "inputmode=\"decimal\"", 1),
            ("date", json!({}), "type=\"date\"", 1),
            ("email", json!({}), "autocomplete=\"email\"", 1),
        ];
        for (kind, more, control, count) in kinds {
            let text = page(&field(kind, &more), &[], Some("No <i>"));
            assert_eq!(text.matches(control).count(), count, "{kind}: {text}");
            assert_eq!(text.matches("id=\"f-q\"").count(), 1, "{kind}: the summary's link leads somewhere: {text}");
            assert!(text.contains("Why &lt;b&gt;?") && text.contains("No &lt;i&gt;"), "{kind}: {text}");
            assert!(text.contains("aria-describedby=\"f-q-hint f-q-error\""), "{kind}: {text}");
            assert!(text.contains("Required."), "{kind}: {text}");
            let is_group = text.contains("<fieldset");
            assert!(is_group == text.contains("<legend") && is_group != text.contains("<label dir"), "{kind}: {text}");
        }
    }

    #[test]
    fn what_the_ends_of_a_scale_mean_is_said_in_its_hint() {
        let text = page(&field("nps", &json!({})), &[], None);
        let (_, hint) = text.split_once("id=\"f-q-hint\">").unwrap();
        assert!(hint.split_once("</p>").unwrap().0.contains("0 is not likely, 10 is very likely."), "{text}");
        assert!(page(&field("rating", &json!({"max": 7.0})), &[], None).contains("1 is the lowest, 7 the highest."));
    }

    #[test]
    fn what_was_answered_is_there_to_be_mended() {
        assert!(page(&field("text", &json!({})), &["\"a\""], None).contains("value=\"&quot;a&quot;\""));
        assert!(
            page(&field("textarea", &json!({})), &["\n</textarea>"], None).contains(">\n\n&lt;/textarea&gt;</text")
        );
        let text = page(&field("nps", &json!({})), &["10"], None);
        assert!(text.contains("value=\"10\" required checked") && text.matches("checked").count() == 1, "{text}");
    }

    #[test]
    fn an_optional_choice_can_be_taken_back() {
        for kind in ["boolean", "nps", "rating"] {
            let text = page(&field(kind, &json!({"required": false})), &[], None);
            assert!(text.contains("No answer") && !text.contains(" required"), "{kind}: {text}");
            assert!(!page(&field(kind, &json!({})), &[], None).contains("No answer"), "{kind}");
        }
    }
}

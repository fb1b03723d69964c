//! What a run shows its participant: messages, the open step, or why there is none.

use ambient::DeploymentId;
use workflow::{Event, EventKind, FieldFault, FormItem, Line, OpenStep, RunStatus, Speaker, StepKind};

use super::{
    answers::Texts,
    fields::{Question, name_of},
    html::Html,
    layout::Page,
    start::run_path,
};

/// What there is to show.
pub(super) struct Showing<'a> {
    pub(super) survey: DeploymentId,
    pub(super) title: &'a str,
    pub(super) status: RunStatus,
    pub(super) step: Option<&'a OpenStep>,
    /// Those that are for the participant, in order.
    pub(super) events: &'a [Event],
    /// What was sent and did not fit: the form and why.
    pub(super) refused: Option<(&'a Texts, &'a [FieldFault])>,
}

impl Showing<'_> {
    pub(super) fn page(&self) -> Page {
        let mut body = Html::default();
        self.write_summary(&mut body);
        self.write_messages(&mut body);
        let (heading, waits) = match self.step {
            Some(step) if step.kind == StepKind::Agent => (self.write_dialogue(&mut body, step), step.busy),
            Some(step) => (self.write_questions(&mut body, step), false),
            None => self.write_state(&mut body),
        };
        let error = if self.faults().is_empty() { "" } else { "Error: " };
        let title = if heading == self.title { heading } else { format!("{heading} – {}", self.title) };
        Page { title: format!("{error}{title}"), banner: Some(self.title.to_owned()), body, waits }
    }

    fn faults(&self) -> &[FieldFault] {
        self.refused.map_or(&[], |(_, faults)| faults)
    }

    /// Everything that did not fit, each with a link to where it is mended.
    fn write_summary(&self, html: &mut Html) {
        if self.faults().is_empty() {
            return;
        }
        html.raw("<div class=\"summary\" role=\"alert\" tabindex=\"-1\" autofocus data-focus>\n");
        html.raw("<h2>This could not be sent yet</h2>\n<ul>\n");
        for fault in self.faults() {
            let field = self.step.and_then(|step| step.fields().find(|field| field.id == fault.field));
            let target = field.map_or_else(|| "text".to_owned(), name_of);
            html.raw("<li><a").attribute("href", &format!("#{target}")).raw(">");
            // Where there is one question, which one is meant is clear.
            if let Some(field) = field.filter(|_| self.faults().len() > 1 || self.is_form()) {
                html.text(&field.prompt).raw(" – ");
            }
            html.text(&fault.message).raw("</a></li>\n");
        }
        html.raw("</ul>\n</div>\n");
    }

    fn is_form(&self) -> bool {
        self.step.is_some_and(|step| step.kind == StepKind::Form)
    }

    /// The workflow's words since the last answer, and behind a fold those before it.
    fn write_messages(&self, html: &mut Html) {
        let last = self.events.iter().rposition(|event| event.kind == EventKind::StepAnswered).unwrap_or(0);
        let (before, since) = self.events.split_at(last);
        let words = |events: &[Event]| -> Vec<String> {
            let posted = events.iter().filter(|event| event.kind == EventKind::MessagePosted);
            posted.filter_map(|event| event.data["text"].as_str().map(str::to_owned)).collect()
        };
        let (before, since) = (words(before), words(since));
        if !before.is_empty() {
            html.raw("<details class=\"earlier\"><summary>Earlier messages (");
            html.number(i64::try_from(before.len()).unwrap_or(i64::MAX)).raw(")</summary>\n");
            before.iter().for_each(|text| write_words(html, text));
            html.raw("</details>\n");
        }
        if !since.is_empty() {
            html.raw("<section class=\"messages\" aria-label=\"Messages\">\n");
            since.iter().for_each(|text| write_words(html, text));
            html.raw("</section>\n");
        }
    }

    fn write_form_start(&self, html: &mut Html, step: &OpenStep) {
        html.raw("<form method=\"post\" novalidate").attribute("action", &run_path(self.survey)).raw(">\n");
        html.raw("<input type=\"hidden\" name=\"step\"").attribute("value", &step.step).raw(">\n");
    }

    /// An input or a form; gives the page's heading.
    fn write_questions(&self, html: &mut Html, step: &OpenStep) -> String {
        let question = |field, is_heading| Question {
            field,
            kept: self.refused.map_or_else(Vec::new, |(form, _)| form.answering(field)),
            error: self.faults().iter().find(|fault| fault.field == field.id).map(|fault| fault.message.as_str()),
            is_heading,
        };
        let heading = match &step.field {
            Some(field) => {
                self.write_form_start(html, step);
                question(field, true).write(html);
                field.prompt.clone()
            }
            None => {
                let heading = step.title.as_deref().unwrap_or(self.title);
                write_heading(html, heading);
                self.write_form_start(html, step);
                for item in &step.items {
                    match item {
                        FormItem::Message { text } => {
                            html.raw("<p class=\"between words\" dir=\"auto\">").text(text).raw("</p>\n");
                        }
                        FormItem::Field(field) => question(field, false).write(html),
                    }
                }
                heading.to_owned()
            }
        };
        html.raw("<div class=\"actions\"><button class=\"main\">Continue</button></div>\n</form>\n");
        heading
    }

    /// What was said with an agent, and the place to say more; gives the page's heading.
    fn write_dialogue(&self, html: &mut Html, step: &OpenStep) -> String {
        html.raw("<h1 tabindex=\"-1\"")
            .raw_if(step.lines.is_empty() && !step.busy, " data-focus")
            .raw(">Conversation</h1>\n");
        html.raw("<ol class=\"dialogue\" aria-label=\"What was said\">\n");
        let last = step.lines.len().saturating_sub(1);
        for (at, line) in step.lines.iter().enumerate() {
            write_line(html, line, at == last);
        }
        html.raw("</ol>\n");
        if step.busy {
            // Without a script this page is loaded again and again: nothing may be typed into it.
            html.raw("<p class=\"busy\" tabindex=\"-1\" data-focus>An answer is being written…</p>\n");
            self.write_look_again(html);
        } else {
            let error = self.faults().iter().find(|fault| fault.field == "text").map(|fault| fault.message.as_str());
            let kept = self.refused.and_then(|(form, _)| form.first("text")).unwrap_or_default();
            self.write_form_start(html, step);
            html.raw("<div class=\"field")
                .raw_if(error.is_some(), " wrong")
                .raw("\">\n<label for=\"text\">Your message</label>\n");
            if let Some(error) = error {
                html.raw("<p class=\"error\" id=\"text-error\"><span class=\"unseen\">Error: </span>")
                    .text(error)
                    .raw("</p>\n");
            }
            html.raw("<textarea id=\"text\" name=\"text\" rows=\"3\" dir=\"auto\" required");
            html.raw_if(!step.lines.is_empty() && self.faults().is_empty(), " data-focus");
            html.raw_if(error.is_some(), " aria-invalid=\"true\" aria-describedby=\"text-error\"");
            html.raw(">\n").text(kept).raw("</textarea>\n</div>\n");
            html.raw("<div class=\"actions\"><button class=\"main\" name=\"action\" value=\"say\">Send</button>\n");
            html.raw_if(step.may_end, "<button class=\"quiet\" name=\"action\" value=\"done\">I am done</button>\n");
            html.raw("</div>\n</form>\n");
        }
        "Conversation".to_owned()
    }

    fn write_look_again(&self, html: &mut Html) {
        html.raw("<noscript><p><a").attribute("href", &run_path(self.survey));
        html.raw(">Look again</a></p></noscript>\n");
    }

    /// Why nothing is asked; gives the page's heading, and whether something may come.
    fn write_state(&self, html: &mut Html) -> (String, bool) {
        let (heading, sentence, waits) = match self.status {
            RunStatus::Completed => ("That was all", "Your answers were received. You can close this page.", false),
            RunStatus::Failed => (
                "This could not be finished",
                "Something went wrong on our side. What you have answered was kept; nothing more is asked of you.",
                false,
            ),
            RunStatus::Cancelled => {
                ("This was ended", "Whoever asked has ended it. Nothing more is asked of you.", false)
            }
            RunStatus::Pending | RunStatus::Running | RunStatus::Waiting => {
                ("One moment", "This page goes on by itself as soon as there is something for you.", true)
            }
        };
        write_heading(html, heading);
        html.raw(if waits { "<p class=\"busy\">" } else { "<p>" }).raw(sentence).raw("</p>\n");
        if waits {
            self.write_look_again(html);
        }
        (heading.to_owned(), waits)
    }
}

fn write_heading(html: &mut Html, heading: &str) {
    html.raw("<h1 dir=\"auto\" tabindex=\"-1\" data-focus>").text(heading).raw("</h1>\n");
}

fn write_words(html: &mut Html, text: &str) {
    html.raw("<p class=\"words\" dir=\"auto\">").text(text).raw("</p>\n");
}

fn write_line(html: &mut Html, line: &Line, is_last: bool) {
    let (class, who) = match line.from {
        Speaker::User => ("own", "You"),
        Speaker::Assistant => ("other", "Assistant"),
    };
    html.raw("<li class=\"").raw(class).raw("\"").raw_if(is_last && line.from == Speaker::Assistant, " data-news");
    html.raw("><p class=\"who\">")
        .raw(who)
        .raw(":</p><p class=\"words\" dir=\"auto\">")
        .text(&line.text)
        .raw("</p></li>\n");
}

#[cfg(test)]
mod tests {
    use ambient::{Millis, Ulid};
    use serde_json::json;

    use super::*;

    fn event(seq: u64, kind: EventKind, data: serde_json::Value) -> Event {
        Event { seq, at: Millis(0), kind, roles: None, data }
    }

    fn shown(status: RunStatus, step: Option<&OpenStep>, events: &[Event]) -> (Page, String) {
        let survey = DeploymentId(Ulid(1));
        let page = Showing { survey, title: "Survey", status, step, events, refused: None }.page();
        let html = String::from_utf8(page.render().body.to_vec()).unwrap();
        (page, html)
    }

    #[test]
    fn a_run_says_in_words_how_it_ended_and_looks_again_only_while_it_goes_on() {
        let said = [
            (RunStatus::Completed, "That was all", false),
            (RunStatus::Failed, "This could not be finished", false),
            (RunStatus::Cancelled, "This was ended", false),
            (RunStatus::Running, "One moment", true),
            (RunStatus::Waiting, "One moment", true),
        ];
        for (status, heading, waits) in said {
            let (page, html) = shown(status, None, &[]);
            assert_eq!((page.title, page.waits), (format!("{heading} – Survey"), waits));
            assert_eq!(html.matches("<h1").count(), 1, "{html}");
        }
    }

    #[test]
    fn messages_since_the_last_answer_are_open_and_those_before_it_folded() {
        let told = |seq, text: &str| event(seq, EventKind::MessagePosted, json!({"step": "m", "text": text}));
        let answered = |seq| event(seq, EventKind::StepAnswered, json!({"step": "a"}));
        let (_, html) =
            shown(RunStatus::Completed, None, &[told(1, "one"), answered(2), told(3, "two"), told(4, "three")]);
        let (folded, open) = html.split_once("</details>").unwrap();
        assert!(folded.contains(">one<") && !folded.contains(">two<"), "{html}");
        assert!(open.contains(">two<") && open.contains(">three<") && !open.contains(">one<"), "{html}");
        let (_, html) = shown(RunStatus::Completed, None, &[told(1, "one")]);
        assert!(!html.contains("<details") && html.contains(">one<"), "{html}");
    }

    #[test]
    fn while_an_agent_writes_nothing_can_be_typed() {
        let dialogue = |busy: bool, may_end: bool| -> OpenStep {
            let lines = json!([{"from": "assistant", "text": "Hi"}, {"from": "user", "text": "Ho"}]);
            let step =
                json!({"step": "t", "kind": "agent", "role": "r", "lines": lines, "busy": busy, "may_end": may_end});
            serde_json::from_value(step).unwrap()
        };
        let (page, html) = shown(RunStatus::Running, Some(&dialogue(true, true)), &[]);
        assert!(page.waits && !html.contains("<textarea") && !html.contains("<form"), "{html}");
        let (page, html) = shown(RunStatus::Waiting, Some(&dialogue(false, true)), &[]);
        assert!(!page.waits && html.contains("<textarea") && html.contains("value=\"done\""), "{html}");
        let (_, html) = shown(RunStatus::Waiting, Some(&dialogue(false, false)), &[]);
        assert!(!html.contains("value=\"done\""), "only where it may be ended: {html}");
    }
}

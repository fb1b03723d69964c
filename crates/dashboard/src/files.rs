//! The dashboard's style and scripts: our own, and htmx, all from here.

use std::{io::Write as _, sync::OnceLock};

use access::{Access, Limit};
use api::App;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use flate2::{Compression, write::GzEncoder};
use gate::{Call, Nothing, Operation, Problem, Raw, Routes};
use sha2::{Digest, Sha256};

const OPEN: Access = Access::closed(Limit::Unlimited).public();

const fn file(path: &'static str, id: &'static str, summary: &'static str) -> Operation<Nothing, Raw> {
    Operation::get(path, id, summary, OPEN)
}

/// A file of ours, as it is and compressed; worked out once.
struct File {
    content_type: &'static str,
    text: &'static str,
    made: OnceLock<(String, Bytes)>,
}

impl File {
    const fn new(content_type: &'static str, text: &'static str) -> Self {
        Self { content_type, text, made: OnceLock::new() }
    }

    /// The file. Pages and their scripts change together, so a browser asks each time whether it has the newest.
    fn answer(&'static self, call: &Call<Nothing>) -> Raw {
        let (tag, zipped) = self.made.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            let written = encoder.write_all(self.text.as_bytes()).and_then(|()| encoder.finish());
            (HEXLOWER.encode(&Sha256::digest(self.text)[..8]), Bytes::from(written.unwrap_or_default()))
        });
        // Nothing in memory fails to be written; what is empty was not.
        let is_zipped = call.request.accepts_gzip && !zipped.is_empty();
        let body = if is_zipped { zipped.clone() } else { Bytes::from_static(self.text.as_bytes()) };
        let raw =
            Raw::new(self.content_type, body).header("cache-control", "no-cache").header("vary", "accept-encoding");
        let (raw, tag) =
            if is_zipped { (raw.header("content-encoding", "gzip"), format!("{tag}-gz")) } else { (raw, tag.clone()) };
        raw.tagged(&tag, call.request.if_none_match.as_deref())
    }
}

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

static DASHBOARD_CSS: File = File::new(CSS, include_str!("static/dashboard.css"));
static DASHBOARD_JS: File = File::new(JS, include_str!("static/dashboard.js"));
static TRY_JS: File = File::new(JS, include_str!("static/try.js"));
static REQUESTS_JS: File = File::new(JS, include_str!("static/requests.js"));
static IMPORT_JS: File = File::new(JS, include_str!("static/import.js"));
static WORKFLOW_JS: File = File::new(JS, include_str!("static/workflow.js"));
static ICON: File = File::new(SVG, include_str!("static/icon.svg"));
static HTMX_JS: File = File::new(JS, include_str!("static/htmx.min.js"));

/// One line for each file: its operation, and where its text is.
macro_rules! files {
    ($routes:expr; $($file:ident $path:literal $id:literal $summary:literal)*) => {
        $($routes.mount(file($path, $id, $summary), async |_: App, call: Call<Nothing>| -> Result<Raw, Problem> {
            Ok($file.answer(&call))
        });)*
    };
}

pub(crate) fn mount(routes: &mut Routes<App>) {
    files! { routes;
        DASHBOARD_CSS "/static/dashboard.css" "get_dashboard_style" "The dashboard's style."
        DASHBOARD_JS "/static/dashboard.js" "get_dashboard_script" "What the dashboard's pages share."
        TRY_JS "/static/try.js" "get_trial_script" "Streams the answers of a bot that is tried out."
        REQUESTS_JS "/static/requests.js" "get_requests_script" "The list of requests as it goes on."
        IMPORT_JS "/static/import.js" "get_import_script" "Sends a file of contacts from the disk."
        WORKFLOW_JS "/static/workflow.js" "get_workflow_editor_script" "The script of the editor of workflows."
        ICON "/favicon.ico" "get_icon" "The picture of a tab, where browsers look for it by themselves."
        HTMX_JS "/static/htmx.js" "get_htmx_script" "htmx 4, which exchanges parts of pages."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_files_ask_for_nothing_from_elsewhere_and_write_no_markup() {
        for refused in ["url(", "@import", "@font-face"] {
            assert!(!DASHBOARD_CSS.text.contains(refused), "{refused}");
        }
        for refused in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write", "localStorage"] {
            assert!(!DASHBOARD_JS.text.contains(refused) && !TRY_JS.text.contains(refused), "{refused}");
            assert!(!REQUESTS_JS.text.contains(refused), "{refused}");
            assert!(!IMPORT_JS.text.contains(refused), "{refused}");
        }
    }
}

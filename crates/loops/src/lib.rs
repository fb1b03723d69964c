//! Agent loops: a prompt, a bot and the tools that it may call, executed step by step.
//!
//! [`Loops`] keeps loops, starts executions and drives them: the bot is asked, what it calls is called, and what
//! that says is given back, until the bot calls nothing more or a limit is met. Each step is stored before the
//! next begins, so that after a crash [`Loops::resume`] goes on where it was. What is never here: HTTP answers,
//! SQL, a decision about who may do what; callers come in checked.

mod cut;
mod error;
mod execution;
mod executor;
mod fill;
mod http;
mod loops;
#[cfg(feature = "mcp")]
mod mcp;
mod steps;
mod tool;
mod toolbox;

pub use error::{Cause, LoopError};
pub use loops::{Callback, Execute, LoopUpdate, Loops, LoopsParts, NewLoop};
pub use steps::StepData;
pub use tool::{HttpMethod, HttpTool, MAX_TOOLS, McpTool, Tool};

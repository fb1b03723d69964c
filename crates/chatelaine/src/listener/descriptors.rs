//! How many file descriptors this process may have: each connection is one.

/// Raises the soft limit to the hard one, and returns what is then allowed.
#[cfg(unix)]
pub(super) fn allowed() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // Some systems refuse a soft limit as high as they say; the old one holds then.
    let allowed = if raised.is_ok() { maximum } else { current };
    allowed.and_then(|allowed| usize::try_from(allowed).ok()).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
pub(super) fn allowed() -> usize {
    usize::MAX
}

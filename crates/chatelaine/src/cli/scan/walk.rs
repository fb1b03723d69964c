//! Every file below a path. What is not read is told, and nothing is followed elsewhere.

use std::{
    fs::{self, File},
    io::{BufReader, Read, Seek as _},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use crate::cli::Terminal;

/// What is to be read.
pub(super) enum Input {
    File(File),
    Standard,
}

/// Why something was not.
pub(super) enum Skipped {
    Failed(std::io::Error),
    Link,
    Special,
}

/// Calls `each` with every file below `path`, in the order of their names; `-` is the standard input. What the
/// caller names is read whatever it is: a pipe, a device. Below it, only regular files are.
pub(super) fn each_file(path: &Path, each: &mut impl FnMut(&Path, Result<Input, Skipped>)) {
    if path == Path::new("-") {
        return each(path, Ok(Input::Standard));
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => directory(path, each),
        Ok(_) => each(path, File::open(path).map(Input::File).map_err(Skipped::Failed)),
        Err(error) => each(path, Err(Skipped::Failed(error))),
    }
}

fn directory(root: &Path, each: &mut impl FnMut(&Path, Result<Input, Skipped>)) {
    // A list instead of recursion: trees may be deeper than a stack.
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => {
                each(&path, Err(Skipped::Failed(error)));
                continue;
            }
        };
        let kind = metadata.file_type();
        if kind.is_dir() || path == root {
            match fs::read_dir(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
                Ok(entries) => {
                    let mut names: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
                    names.sort_unstable_by(|a, b| b.cmp(a));
                    open.append(&mut names);
                }
                Err(error) => each(&path, Err(Skipped::Failed(error))),
            }
        } else if kind.is_symlink() {
            each(&path, Err(Skipped::Link));
        } else if kind.is_file() {
            each(&path, File::open(&path).map(Input::File).map_err(Skipped::Failed));
        } else {
            each(&path, Err(Skipped::Special));
        }
    }
}

/// What is packed in a file, where it is gzip's, and the file as it is.
pub(super) fn unpacked(mut file: File) -> (Option<Box<dyn Read>>, Box<dyn Read>) {
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return (None, Box::new(file));
    }
    let mut magic = [0; 2];
    let is_gzip = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    let packed = is_gzip.then(|| file.try_clone().ok()).flatten().map(|file| {
        let unpacked = MultiGzDecoder::new(BufReader::new(FromStart { file, begun: false }));
        Box::new(unpacked) as Box<dyn Read>
    });
    (packed, Box::new(FromStart { file, begun: false }))
}

/// Begins at the beginning when it is first read, wherever a copy of the file has been read to.
struct FromStart {
    file: File,
    begun: bool,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.begun {
            self.file.rewind()?;
            self.begun = true;
        }
        self.file.read(buffer)
    }
}

pub(super) fn standard_input(terminal: &Terminal) -> Box<dyn Read> {
    Box::new(terminal.reader())
}

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::StartError;

/// The directory that belongs to one server at a time: database, secret, lock. Others of this
/// machine may read none of it.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock goes with the file, also when the process is killed.
    _lock: File,
}

impl DataDir {
    /// Makes the directory (0700) where it is missing, and takes its lock.
    ///
    /// # Errors
    /// When it cannot be made, or another server holds it.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let failed = |error| StartError::file("the data directory", path, error);
        make_directory(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let name = path.join("lock");
        let lock = private(&name, true).map_err(|error| StartError::file("the lock", &name, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StartError::Locked(path)),
            Err(TryLockError::Error(error)) => Err(StartError::file("the lock", &name, error)),
        }
    }

    /// The directory, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// SQLite's address of the database, and whether there is one with something in it.
    #[must_use]
    pub fn database(&self) -> (String, bool) {
        let path = self.file("chatelaine.db");
        // As a URL, so that no character of the path means something to the driver.
        let url = url::Url::from_file_path(&path).map(|url| url.as_str().replacen("file:", "sqlite:", 1));
        let used = path.metadata().is_ok_and(|metadata| metadata.len() > 0);
        (url.unwrap_or_else(|()| format!("sqlite://{}", path.display())), used)
    }

    /// Writes a file (0600) as a whole: it is there with all of its text, or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_private(&self, name: &str, text: &str) -> Result<PathBuf, StartError> {
        let (path, draft) = (self.file(name), self.file(&format!("{name}.new")));
        let write = || {
            let _ = std::fs::remove_file(&draft);
            let mut file = private(&draft, false)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|error| StartError::file("a private file", &path, error))?;
        Ok(path)
    }
}

fn make_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file that only its owner may read; makes it when it is missing (`keep`), or at all.
fn private(path: &Path, keep: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).read(true);
    if keep {
        options.create(true).truncate(false)
    } else {
        options.create_new(true)
    };
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_second_server_is_refused_until_the_first_is_gone() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("data");
        let first = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(StartError::Locked(_))));
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_what_is_inside() {
        let outer = tempfile::tempdir().unwrap();
        let data = DataDir::open(&outer.path().join("a/data")).unwrap();
        let secret = data.write_private("secret", "text").unwrap();
        assert_eq!((mode(&data.path), mode(&secret), mode(&data.file("lock"))), (0o700, 0o600, 0o600));
        data.write_private("secret", "other").unwrap();
        assert_eq!((std::fs::read_to_string(&secret).unwrap().as_str(), mode(&secret)), ("other", 0o600));
    }

    #[test]
    fn the_database_is_found_also_where_the_path_has_signs_of_a_url() {
        let outer = tempfile::tempdir().unwrap();
        let data = DataDir::open(&outer.path().join("a b?c#d%20")).unwrap();
        let (url, used) = data.database();
        assert!(url.starts_with("sqlite:///") && url.ends_with("/a%20b%3Fc%23d%2520/chatelaine.db") && !used, "{url}");
        std::fs::write(data.file("chatelaine.db"), "rows").unwrap();
        assert!(data.database().1);
    }
}

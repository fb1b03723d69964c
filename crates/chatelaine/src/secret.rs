//! Where the installation's one secret comes from, and that it is the one the database knows.

use std::path::Path;

use ambient::Random;
use credential::{RootSecret, Secrets};
use store::Store;
use zeroize::Zeroizing;

use crate::{Config, DataDir, StartError, config::Concealed};

/// The name under which the database keeps the identifier of its secret.
const META: &str = "secret_id";

/// The secret, and whether it was made just now.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) secrets: Secrets,
    /// The file that was written, of which the operator should hear once.
    pub(crate) generated: Option<std::path::PathBuf>,
}

/// `data` is the directory of SQLite's database and whether that database holds something.
pub(crate) fn load(config: &Config, data: Option<(&DataDir, bool)>, random: &dyn Random) -> Result<Loaded, StartError> {
    let previous =
        given("CHATELAINE_SECRET_PREVIOUS", config.secret_previous.as_ref(), config.secret_previous_file.as_deref())?;
    let current = given("CHATELAINE_SECRET", config.secret.as_ref(), config.secret_file.as_deref())?;
    let (current, generated) = match (current, data) {
        (Some(current), _) => (current, None),
        (None, None) => return Err(StartError::NoSecret),
        (None, Some((data, used))) => in_directory(data, used, random)?,
    };
    Ok(Loaded { secrets: Secrets::new(&current, previous.as_ref()), generated })
}

fn given(name: &str, text: Option<&Concealed>, file: Option<&Path>) -> Result<Option<RootSecret>, StartError> {
    match (text, file) {
        (Some(text), _) => parse(name.to_owned(), text.expose()).map(Some),
        (None, Some(path)) => {
            let text = read(path)?;
            parse(path.display().to_string(), &text).map(Some)
        }
        (None, None) => Ok(None),
    }
}

fn in_directory(
    data: &DataDir,
    used: bool,
    random: &dyn Random,
) -> Result<(RootSecret, Option<std::path::PathBuf>), StartError> {
    let path = data.file("secret");
    if path.exists() {
        return Ok((parse(path.display().to_string(), &read(&path)?)?, None));
    }
    // A new secret would look like a working server that refuses every key.
    if used {
        return Err(StartError::LostSecret(path));
    }
    let secret = RootSecret::generate(random)?;
    let path = data.write_private("secret", &secret.to_text())?;
    Ok((secret, Some(path)))
}

fn read(path: &Path) -> Result<Zeroizing<String>, StartError> {
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| StartError::file("the secret file", path, error))
}

fn parse(from: String, text: &str) -> Result<RootSecret, StartError> {
    RootSecret::parse(text).map_err(|source| StartError::WeakSecret { from, source })
}

/// Refuses a database that was made with another secret; a rotation moves it to the current one.
pub(crate) async fn check(store: &Store, secrets: &Secrets) -> Result<(), StartError> {
    if store.set_meta_if_absent(META, secrets.id()).await? {
        return Ok(());
    }
    match store.meta(META).await? {
        Some(id) if id == secrets.id() => Ok(()),
        Some(id) if secrets.previous_id() == Some(id.as_str()) => Ok(store.set_meta(META, secrets.id()).await?),
        other => Err(StartError::OtherSecret { made_with: other.unwrap_or_default(), given: secrets.id().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use ambient::SeededRandom;

    use super::*;

    fn with_secret(text: &str) -> Config {
        let mut config = Config::defaults().unwrap();
        config.secret = Some(Concealed::new(text.to_owned()));
        config
    }

    #[test]
    fn sqlite_generates_one_and_keeps_it_and_never_replaces_a_lost_one() {
        let outer = tempfile::tempdir().unwrap();
        let data = DataDir::open(outer.path()).unwrap();
        let (config, random) = (Config::defaults().unwrap(), SeededRandom::new(1));
        let first = load(&config, Some((&data, false)), &random).unwrap();
        let second = load(&config, Some((&data, true)), &random).unwrap();
        assert!(first.generated.is_some() && second.generated.is_none());
        assert_eq!(first.secrets.id(), second.secrets.id());
        std::fs::remove_file(data.file("secret")).unwrap();
        assert!(matches!(load(&config, Some((&data, true)), &random), Err(StartError::LostSecret(_))));
        assert!(!data.file("secret").exists());
    }

    #[test]
    fn what_is_given_goes_before_the_file_and_must_be_strong() {
        let outer = tempfile::tempdir().unwrap();
        let data = DataDir::open(outer.path()).unwrap();
        let random = SeededRandom::new(1);
        let strong = "dGhpcyBpcyBub3QgYSBwYXR0ZXJuLCBpdCBpcyAzMis=";
        let given = load(&with_secret(strong), Some((&data, false)), &random).unwrap();
        assert!(given.generated.is_none() && !data.file("secret").exists());
        let weak = load(&with_secret("short"), None, &random).unwrap_err();
        assert!(weak.to_string().starts_with("CHATELAINE_SECRET:"), "{weak}");
        assert!(matches!(load(&Config::defaults().unwrap(), None, &random), Err(StartError::NoSecret)));
    }

    #[tokio::test]
    async fn a_database_is_opened_with_its_own_secret_or_through_a_rotation() {
        let outer = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", outer.path().join("a.db").display());
        let clock = std::sync::Arc::new(ambient::SystemClock::new());
        let store = Store::open(&url, clock, std::sync::Arc::new(SeededRandom::new(1))).await.unwrap();
        let root = |seed| RootSecret::generate(&SeededRandom::new(seed)).unwrap();
        let (old, new) = (root(1), root(2));
        check(&store, &Secrets::new(&old, None)).await.unwrap();
        check(&store, &Secrets::new(&old, None)).await.unwrap();
        let refused = check(&store, &Secrets::new(&new, None)).await.unwrap_err();
        assert!(matches!(refused, StartError::OtherSecret { .. }));
        check(&store, &Secrets::new(&new, Some(&old))).await.unwrap();
        check(&store, &Secrets::new(&new, None)).await.unwrap();
        assert!(check(&store, &Secrets::new(&old, None)).await.is_err());
        store.close().await;
    }
}

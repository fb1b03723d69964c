use ambient::SeededRandom;

use super::*;

const BODY: &str = "{\"format\":\"chatelaine-keys-1\"}\n{\"id\":\"key_1\"}\n";
const KEY: &str = "sk_live_text";

fn root(seed: u64) -> RootSecret {
    RootSecret::generate(&SeededRandom::new(seed)).unwrap()
}

fn transfer(seed: u64) -> Transfer {
    Transfer::new(&root(seed))
}

#[test]
fn a_signed_file_is_opened_whole_and_by_its_own_secret_alone() {
    let file = transfer(1).sign(BODY);
    assert_eq!(transfer(1).open(file.as_bytes()), Some(BODY.as_bytes()));
    assert_eq!(transfer(2).open(file.as_bytes()), None);
    assert_eq!(transfer(1).open(BODY.as_bytes()), None);
    assert_eq!(transfer(1).open(b""), None);
}

#[test]
fn every_changed_byte_and_every_cut_is_refused() {
    let (transfer, file) = (transfer(1), transfer(1).sign(BODY).into_bytes());
    for at in 0..file.len() {
        assert_eq!(transfer.open(&file[..at]), None, "{at} bytes");
        assert_eq!(transfer.open(&file[at + 1..]), None, "without the first {}", at + 1);
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            assert_eq!(transfer.open(&changed), None, "bit {bit} of byte {at}");
        }
    }
    assert_eq!(transfer.open(&[&file[..], b"\n"].concat()), None, "more than was signed");
    assert_eq!(transfer.open(&[&file[..], &file[..]].concat()), None, "twice");
}

#[test]
fn a_pepper_makes_the_origin_s_digests_and_survives_both_journeys() {
    let (origin, random) = (Secrets::new(&root(1), Some(&root(2))), SeededRandom::new(9));
    let pepper = origin.pepper(origin.id()).unwrap();
    let previous = origin.pepper(origin.previous_id().unwrap()).unwrap();
    assert_eq!(pepper.digest(KEY), origin.digest(KEY));
    assert_eq!(Some(previous.digest(KEY)), origin.previous_digest(KEY));
    assert!(origin.pepper("0123456789abcdef").is_none() && !pepper.is(&previous));

    let sealed = transfer(3).seal("file", &pepper, &random).unwrap();
    assert!(transfer(3).open_pepper("file", pepper.id(), &sealed).unwrap().is(&pepper));
    assert!(transfer(4).open_pepper("file", pepper.id(), &sealed).is_err(), "another secret");
    assert!(transfer(3).open_pepper("another", pepper.id(), &sealed).is_err(), "from another file");
    assert!(transfer(3).open_pepper("file", previous.id(), &sealed).is_err(), "under another name");

    let importer = Secrets::new(&root(5), None);
    let kept = pepper.seal(importer.sealer(), &random).unwrap();
    assert!(Pepper::open(importer.sealer(), pepper.id(), &kept).unwrap().is(&pepper));
    assert!(Pepper::open(importer.sealer(), previous.id(), &kept).is_err());
    assert!(Pepper::open(origin.sealer(), pepper.id(), &kept).is_err());
}

#[test]
fn what_is_no_pepper_is_none() {
    for (id, length) in
        [("0123456789abcdef", 31), ("0123456789abcde", 32), ("0123456789ABCDEF", 32), ("../../etc/passwd", 32)]
    {
        assert!(Pepper::new(id, &[1; 33][..length]).is_none(), "{id} {length}");
    }
    assert!(Pepper::new("0123456789abcdef", &[1; 32]).is_some());
}

#[test]
fn the_installation_s_own_secret_is_known_again() {
    let secrets = Secrets::new(&root(1), Some(&root(2)));
    assert!(transfer(1).is_of(&secrets) && transfer(2).is_of(&secrets) && !transfer(3).is_of(&secrets));
}

#[test]
fn nothing_of_a_transfer_is_what_an_installation_derives() {
    let secrets = Secrets::new(&root(1), None);
    let pepper = secrets.pepper(secrets.id()).unwrap();
    let by_transfer = transfer(1).sealer.seal(b"c", b"plain", &SeededRandom::new(1)).unwrap();
    assert!(secrets.sealer().open(b"c", &by_transfer).is_err());
    assert_ne!(transfer(1).sign.mac(&[KEY.as_bytes()]), pepper.digest(KEY).0);
}

#[test]
fn debug_says_nothing_secret() {
    let secrets = Secrets::new(&root(1), None);
    let pepper = secrets.pepper(secrets.id()).unwrap();
    assert_eq!(format!("{pepper:?} {:?}", transfer(1)), format!("Pepper({}, …) Transfer(…)", secrets.id()));
}

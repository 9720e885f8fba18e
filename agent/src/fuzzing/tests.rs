//! Every property over its seeds, over seeds that were changed at random, and over what grammars make.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::{PROPERTIES, property};

/// The inputs in the repository, most of them found by the fuzzer because they reach code that no other reaches.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a seed")).collect()
}

/// One of the seeds, with pieces of it replaced by other bytes or by pieces of other seeds.
fn changed_seed(name: &str) -> impl Strategy<Value = Vec<u8>> {
    let seed = || proptest::sample::select(seeds(name));
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        (seed(), any::<prop::sample::Index>(), 0_usize..24).prop_map(|(seed, from, length)| {
            let from = from.index(seed.len() + 1);
            seed[from..seed.len().min(from + length)].to_vec()
        }),
    ];
    let change = (any::<prop::sample::Index>(), 0_usize..8, piece);
    (seed(), proptest::collection::vec(change, 0..4)).prop_map(|(mut input, changes)| {
        for (place, length, piece) in changes {
            let start = place.index(input.len() + 1);
            let end = input.len().min(start + length);
            input.splice(start..end, piece);
        }
        input
    })
}

#[test]
fn every_property_holds_for_its_seeds() {
    for (name, property) in PROPERTIES {
        let seeds = seeds(name);
        assert!(seeds.len() >= 5, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            property(&seed);
        }
    }
}

#[test]
fn the_seeds_stay_small() {
    let bytes: usize = PROPERTIES.iter().flat_map(|(name, _)| seeds(name)).map(|seed| seed.len()).sum();
    assert!(bytes < 200_000, "{bytes} bytes of seeds: minimise them, as docs/security.md says");
}

#[test]
fn every_property_is_a_fuzz_target() {
    let manifest = include_str!("../../../tests/fuzz/Cargo.toml");
    for (name, _) in PROPERTIES {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is no target");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn answers_of_any_vault_are_taken_for_what_they_are(input in changed_seed("answers")) {
        property("answers")(&input);
    }

    #[test]
    fn any_text_is_a_configuration_that_fits_or_has_problems(input in changed_seed("config")) {
        property("config")(&input);
    }

    #[test]
    fn bytes_are_the_same_heads_however_they_are_cut(input in changed_seed("heads")) {
        property("heads")(&input);
    }

    #[test]
    fn any_request_means_one_thing_or_nothing(input in changed_seed("requests")) {
        property("requests")(&input);
    }

    #[test]
    fn any_secret_that_a_path_can_name_is_found_by_it(
        input in r"(GET|HEAD|POST) (http://x)?/v1/(secrets/[a-c%/.-]{1,4}(%[0-9a-fA-F]{2}){0,3}|refresh|status)(/value)?(\?(wait|name|after)=[0-9a-z%+]{0,6})?",
    ) {
        property("requests")(input.as_bytes());
    }

    #[test]
    fn any_name_and_path_stays_in_its_place(input in prop_oneof![changed_seed("names"), proptest::collection::vec(any::<u8>(), 0..40)]) {
        property("names")(&input);
    }

    #[test]
    fn any_path_of_dots_and_slashes_stays_below(input in r"[a./\\]{0,8}\n[a./]{0,8}") {
        property("names")(input.as_bytes());
    }

    #[test]
    fn only_readers_read(
        input in "(0|1001|65534|7)( (0|5|2001|7)){1,3}(\n(db|token|\\*)( (user:trainer|group:ml|uid:|gid:|uid:0?(0|7|1001|65534)|gid:\\+?(0|5|7|2001)|x)){0,3}){0,4}",
    ) {
        property("readers")(input.as_bytes());
    }

    #[test]
    fn any_answer_gives_the_value_that_serde_json_reads(input in changed_seed("values")) {
        property("values")(&input);
    }
}

//! Splits by group: nothing leaks, and labels keep their shares.

use std::collections::HashSet;

use proptest::prelude::*;
use retrograd::classify::{GroupSplit, Parts};
use retrograd::data::{Panel, Series};

/// Sequences of one row with labels and groups.
fn panel(labels: &[usize], groups: &[usize]) -> Panel {
    let one = |k: usize| Series::new(vec!["x".to_owned()], vec![k as f64]).unwrap();
    let all = (0..labels.len()).map(|k| (k.to_string(), one(k))).collect();
    let texts = |of: &[usize]| of.iter().map(|n| format!("t{n}")).collect();
    let panel = Panel::new("clip", all).unwrap();
    let panel = panel.with_constant("word", texts(labels)).unwrap();
    panel.with_constant("speaker", texts(groups)).unwrap()
}

/// Each of `among` on one side, in order, neither side empty.
fn whole(parts: &Parts, among: &[usize]) {
    let mut all = [&parts.training[..], &parts.validation].concat();
    all.sort_unstable();
    assert_eq!(all, among);
    assert!(!parts.training.is_empty() && !parts.validation.is_empty());
    assert!(parts.training.is_sorted() && parts.validation.is_sorted());
}

proptest! {
    #[test]
    fn groups_never_leak(
        (labels, groups) in (2..120_usize).prop_flat_map(|n| (
            prop::collection::vec(0..6_usize, n),
            prop::collection::vec(0..12_usize, n),
        )),
        share in 0.01..0.99_f64,
        seed in any::<u64>(),
    ) {
        let panel = panel(&labels, &groups);
        let all: Vec<usize> = (0..labels.len()).collect();
        let split = GroupSplit::new(share).by("speaker").seed(seed);
        let kinds: HashSet<usize> = groups.iter().copied().collect();
        match split.split(&panel, "word") {
            Ok(parts) => {
                whole(&parts, &all);
                let of = |part: &[usize]| part.iter().map(|&k| groups[k]).collect::<HashSet<_>>();
                prop_assert!(of(&parts.training).is_disjoint(&of(&parts.validation)));
                prop_assert_eq!(&split.split(&panel, "word").unwrap(), &parts);
                // And of a part of it again.
                if let Ok(again) = split.split_part(&panel, "word", &parts.training) {
                    whole(&again, &parts.training);
                    prop_assert!(of(&again.training).is_disjoint(&of(&again.validation)));
                }
            }
            Err(e) => prop_assert!(kinds.len() < 2, "{}", e),
        }
    }

    #[test]
    fn each_label_keeps_its_share_where_sequences_are_on_their_own(
        labels in prop::collection::vec(0..5_usize, 10..300),
        share in 0.1..0.9_f64,
        seed in any::<u64>(),
    ) {
        let panel = panel(&labels, &labels);
        let parts = GroupSplit::new(share).seed(seed).split(&panel, "word").unwrap();
        for label in 0..5 {
            let count = |part: &[usize]| part.iter().filter(|&&k| labels[k] == label).count();
            let (kept, all) = (count(&parts.validation), labels.iter().filter(|l| **l == label).count());
            // To a whole number, but for what other labels of a few sequences cannot give.
            prop_assert!((kept as f64 - share * all as f64).abs() < 5.0, "{label}: {kept} of {all}");
            prop_assert!(all == 0 || kept < all || parts.validation.len() == 1, "{label} is kept whole");
        }
        let off = parts.validation.len() as f64 - share * labels.len() as f64;
        prop_assert!(off.abs() < 5.0, "{off}");
    }
}

#[test]
fn even_labels_keep_their_shares_exactly() {
    let labels: Vec<usize> = (0..500).map(|k| k % 10).collect();
    let parts = GroupSplit::new(0.2)
        .seed(3)
        .split(&panel(&labels, &labels), "word")
        .unwrap();
    for label in 0..10 {
        let kept = parts
            .validation
            .iter()
            .filter(|&&k| labels[k] == label)
            .count();
        assert_eq!(kept, 10, "{label}");
    }
    // Of a hundred labels of two sequences, too, two fifths of a hundred are kept, no label whole.
    let pairs: Vec<usize> = (0..200).map(|k| k / 2).collect();
    let parts = GroupSplit::new(0.2)
        .split(&panel(&pairs, &pairs), "word")
        .unwrap();
    assert_eq!(parts.validation.len(), 40);
    assert_eq!(
        parts
            .validation
            .iter()
            .map(|&k| pairs[k])
            .collect::<HashSet<_>>()
            .len(),
        40
    );
}

#[test]
fn groups_are_chosen_so_that_labels_keep_their_shares() {
    // Ten speakers, who say a word once, and five of them another one nine times.
    let (mut labels, mut groups) = (Vec::new(), Vec::new());
    for speaker in 0..10 {
        labels.push(0);
        groups.push(speaker);
        for _ in 0..9 * (speaker % 2) {
            labels.push(1);
            groups.push(speaker);
        }
    }
    for seed in 0..20 {
        let split = GroupSplit::new(0.2).by("speaker").seed(seed);
        let parts = split.split(&panel(&labels, &groups), "word").unwrap();
        let count = |label| {
            parts
                .validation
                .iter()
                .filter(|&&k| labels[k] == label)
                .count()
        };
        assert_eq!((count(0), count(1)), (2, 9), "seed {seed}");
    }
}

#[test]
fn seeds_choose_others_and_thousands_are_split_at_once() {
    let labels: Vec<usize> = (0..20_000).map(|k| k % 30).collect();
    let groups: Vec<usize> = (0..20_000).map(|k| k / 4).collect();
    let panel = panel(&labels, &groups);
    let begun = std::time::Instant::now();
    let split = |seed| {
        GroupSplit::new(0.2)
            .by("speaker")
            .seed(seed)
            .split(&panel, "word")
            .unwrap()
    };
    let (one, other) = (split(1), split(2));
    assert_ne!(one, other);
    assert_eq!(one.validation.len(), 4000);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn what_cannot_be_split_is_refused() {
    let all = panel(&[0, 1, 0, 1], &[3, 3, 3, 3]);
    let refused = |split: GroupSplit| split.split(&all, "word").unwrap_err().to_string();
    assert_eq!(
        refused(GroupSplit::new(0.2).by("speaker")),
        "all sequences are of one group in column \"speaker\"; a part to train on and one to validate on need a group each"
    );
    for share in [0.0, 1.0, f64::NAN, -0.5] {
        assert!(
            refused(GroupSplit::new(share))
                .starts_with("the share of sequences for validation is ")
        );
    }
    assert!(refused(GroupSplit::new(0.2).by("shop")).starts_with("there is no column \"shop\""));
    let one = GroupSplit::new(0.2)
        .split_part(&all, "word", &[2])
        .unwrap_err()
        .to_string();
    assert_eq!(
        one,
        "there is 1 sequence; a part to train on and one to validate on need one each"
    );
    let texts = ["a", "", "b", "b"].map(str::to_owned).to_vec();
    let gap = all.clone().with_constant("speaker", texts).unwrap();
    let error = GroupSplit::new(0.2)
        .by("speaker")
        .split(&gap, "word")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the sequence \"1\" has no group: column \"speaker\" is empty"
    );
}

//! What is kept of anybody: each event counts once, whichever partition it comes from.

use super::*;

const SUMS: Shares<u64> = Shares::new(SOURCE, "sums");

fn add(source: &str, partition: u32, owner: &str, seq: u64) -> Result<(), Failure> {
    let (entity, term) = ("of-somebody-else", Term::ENDLESS);
    let writer = Writer { source, partition, entity, seq, term, generation: 1, ..Writer::default() };
    SUMS.update(&writer, owner, |sum| sum.unwrap_or_default() + seq)?;
    writer.finish(no_offset())
}

#[test]
fn who_has_a_share_in_all_partitions_is_called_as_they_like() {
    let owners = ["ann", "", "a.b", "*", "mia smith", &"x".repeat(1000)];
    let owner = |seq: u64| owners[(seq % 5) as usize];
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for seq in 1..=200 {
        let partition = seq as u32 % SOURCE.partitions;
        add(SOURCE.name, partition, owner(seq), seq).unwrap();
        // It comes again, and after one that is newer.
        add(SOURCE.name, partition, owner(seq), seq).unwrap();
        add(SOURCE.name, partition, owner(seq), seq.saturating_sub(20)).unwrap();
        *sums.entry(owner(seq)).or_default() += seq;
    }
    let views = anonymous().views().unwrap();
    for owner in owners {
        let before = platform().calls();
        let shares = SUMS.get(&views, owner).unwrap();
        assert!(platform().calls() - before <= 1);
        assert_eq!(shares.iter().sum::<u64>(), sums.get(owner).copied().unwrap_or_default(), "{owner:.10}");
        assert!(shares.len() <= SOURCE.partitions as usize);
    }
}

#[test]
fn there_is_no_share_for_events_of_others() {
    assert!(add("others", 0, "ann", 1).unwrap_err().is_lasting());
    assert!(add(SOURCE.name, SOURCE.partitions, "ann", 1).unwrap_err().is_lasting());
}

//! Which of many sealed sets may hold a key: Bloom filters, bit-sliced.
//!
//! One filter for each set would mean to ask hundreds of them for every key. So the filters of 64 sets lie crosswise in
//! a bank: one word for each position, one bit of it for each set. A few words, ANDed, answer for all 64 at once. (The
//! idea is that of BIGSI, which searches genomes.) They take two and a half bytes for each key.
//!
//! A key's positions all lie within one block of 4 KiB, so that a query touches one page of each bank. Keys are hashes
//! already: their own bits say where.

use std::collections::BTreeMap;

/// 128 bits of a hash.
pub type Key = [u8; 16];

/// How many positions a key sets. They take 90 bits of the key; the 38 below choose the block.
const POSITIONS: u32 = 10;
const POSITION_BITS: u32 = 9;
const BLOCK_BITS: u32 = u128::BITS - POSITIONS * POSITION_BITS;
/// Positions, and bits of a filter, in a block.
const BLOCK: usize = 1 << POSITION_BITS;
const BITS_PER_KEY: usize = 20;
/// Every filter has 5, 10, 20, 40... blocks. Of two such numbers one divides the other, so filters of sets of different
/// sizes fit into one bank: a key's block in a small one is its block in a large one, modulo the small one's blocks.
const LEAST_BLOCKS: usize = 5;
/// For sets of half a million keys. More would only be a damaged file's.
const MOST_BLOCKS: usize = LEAST_BLOCKS << 12;
const SETS_IN_BANK: u64 = u64::BITS as u64;

/// The block of a key among so many, and its positions in it.
fn place(key: &Key, blocks: usize) -> (usize, impl Iterator<Item = usize>) {
    let key = u128::from_le_bytes(*key);
    let chooser = (key as u64) & ((1 << BLOCK_BITS) - 1);
    let positions = key >> BLOCK_BITS;
    let block = (chooser % blocks as u64) as usize;
    (block, (0..POSITIONS).map(move |number| (positions >> (number * POSITION_BITS)) as usize % BLOCK))
}

/// The filter of one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// One bit for each position, the lowest first.
    words: Vec<u64>,
}

impl Filter {
    pub fn of(keys: &[Key]) -> Self {
        let mut blocks = LEAST_BLOCKS;
        while blocks * BLOCK < keys.len() * BITS_PER_KEY && blocks < MOST_BLOCKS {
            blocks *= 2;
        }
        let mut words = vec![0; blocks * BLOCK / 64];
        for key in keys {
            let (block, positions) = place(key, blocks);
            for position in positions {
                let position = block * BLOCK + position;
                words[position / 64] |= 1 << (position % 64);
            }
        }
        Self { words }
    }

    /// With a checksum at the end: one bit that is lost would let an id count twice.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// `None` where [`Filter::to_bytes`] cannot have made them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (bytes, checksum) = bytes.split_last_chunk()?;
        if crc32fast::hash(bytes) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let blocks = bytes.len() / (BLOCK / 8);
        let is_size = (LEAST_BLOCKS..=MOST_BLOCKS).contains(&blocks)
            && blocks.is_multiple_of(LEAST_BLOCKS)
            && (blocks / LEAST_BLOCKS).is_power_of_two()
            && bytes.len().is_multiple_of(BLOCK / 8);
        let (words, _) = bytes.as_chunks();
        is_size.then(|| Self { words: words.iter().map(|word| u64::from_le_bytes(*word)).collect() })
    }
}

/// The filters of any number of sets, which go by numbers.
#[derive(Debug, Default)]
pub struct Sieve {
    banks: BTreeMap<u64, Bank>,
}

impl Sieve {
    /// Adds a set, or puts another one in its place.
    pub fn insert(&mut self, number: u64, filter: &Filter) {
        self.banks.entry(number / SETS_IN_BANK).or_default().insert(1 << (number % SETS_IN_BANK), filter);
    }

    pub fn remove(&mut self, number: u64) {
        self.retain(|other| other != number);
    }

    pub fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.banks.retain(|bank_number, bank| {
            for number in numbers(*bank_number, bank.sets) {
                if !keep(number) {
                    bank.sets &= !(1 << (number % SETS_IN_BANK));
                }
            }
            bank.sets != 0
        });
    }

    /// The sets that may hold a key, from the highest number to the lowest: every one that does, and hardly any other.
    pub fn candidates(&self, key: &Key) -> impl Iterator<Item = u64> {
        self.banks.iter().rev().flat_map(|(number, bank)| numbers(*number, bank.candidates(key)))
    }
}

/// The numbers of a bank's sets, from the highest to the lowest.
fn numbers(bank: u64, mut sets: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let highest = sets.checked_ilog2()?;
        sets &= !(1 << highest);
        Some(bank * SETS_IN_BANK + u64::from(highest))
    })
}

#[derive(Debug, Default)]
struct Bank {
    /// For each position the sets that have its bit.
    positions: Vec<u64>,
    /// The sets that are there. What is left of others in `positions` counts for nothing.
    sets: u64,
}

impl Bank {
    fn insert(&mut self, set: u64, filter: &Filter) {
        let bits = filter.words.len() * 64;
        if self.positions.is_empty() {
            self.positions = vec![0; bits];
        }
        // A larger filter's blocks are the smaller one's, over and over.
        while self.positions.len() < bits {
            self.positions.extend_from_within(..);
        }
        self.sets |= set;
        for (positions, word) in self.positions.chunks_exact_mut(64).zip(filter.words.iter().cycle()) {
            for (bit, position) in positions.iter_mut().enumerate() {
                *position = (*position & !set) | (set * (word >> bit & 1));
            }
        }
    }

    fn candidates(&self, key: &Key) -> u64 {
        let (block, positions) = place(key, (self.positions.len() / BLOCK).max(1));
        let block = self.positions.get(block * BLOCK..(block + 1) * BLOCK).unwrap_or_default();
        let mut sets = self.sets;
        for position in positions {
            sets &= block.get(position).copied().unwrap_or_default();
            if sets == 0 {
                break;
            }
        }
        sets
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    fn key(number: u64) -> Key {
        let hash: [u8; 32] = Sha256::digest(number.to_le_bytes()).into();
        *hash.first_chunk().unwrap()
    }

    fn keys(numbers: std::ops::Range<u64>) -> Vec<Key> {
        numbers.map(key).collect()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64, HashSet<u64>),
        Remove(u64),
        RetainFrom(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Numbers at the edges of banks, and sets on both sides of each of the first filters' sizes.
        let number = || prop_oneof![0..6u64, 60..70u64, 126..130u64];
        let set = prop::collection::hash_set(0..100_000u64, 0..600);
        let step = prop_oneof![
            6 => (number(), set).prop_map(|(number, set)| Step::Insert(number, set)),
            1 => number().prop_map(Step::Remove),
            1 => number().prop_map(Step::RetainFrom),
        ];
        prop::collection::vec(step, 1..20)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_holds_a_key_is_a_candidate_and_nothing_that_is_gone(steps in steps()) {
            let mut sieve = Sieve::default();
            let mut oracle: BTreeMap<u64, HashSet<u64>> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(number, set) => {
                        let keys: Vec<Key> = set.iter().copied().map(key).collect();
                        sieve.insert(number, &Filter::of(&keys));
                        oracle.insert(number, set);
                    }
                    Step::Remove(number) => {
                        sieve.remove(number);
                        oracle.remove(&number);
                    }
                    Step::RetainFrom(least) => {
                        sieve.retain(|number| number >= least);
                        oracle.retain(|number, _| *number >= least);
                    }
                }
            }
            for member in oracle.values().flatten() {
                let candidates: Vec<u64> = sieve.candidates(&key(*member)).collect();
                prop_assert!(candidates.is_sorted_by(|a, b| a > b), "{candidates:?}");
                let candidates: BTreeSet<u64> = candidates.into_iter().collect();
                for (number, set) in &oracle {
                    prop_assert!(!set.contains(member) || candidates.contains(number));
                }
                prop_assert!(candidates.iter().all(|number| oracle.contains_key(number)));
            }
        }

        #[test]
        fn a_filter_is_read_as_it_was_written(set in prop::collection::hash_set(any::<u64>(), 0..1_000)) {
            let filter = Filter::of(&set.into_iter().map(key).collect::<Vec<_>>());
            prop_assert_eq!(Filter::from_bytes(&filter.to_bytes()), Some(filter));
        }
    }

    #[test]
    fn hardly_anything_else_is_a_candidate() {
        for sizes in [[100, 100], [10_000, 10_000], [32_768, 300]] {
            let mut sieve = Sieve::default();
            let sets = 8;
            for (number, size) in (60..60 + sets).zip(sizes.into_iter().cycle()) {
                let first = number * 40_000;
                sieve.insert(number, &Filter::of(&keys(first..first + size)));
            }
            let queries = 100_000;
            let strangers = (0..queries).map(|stranger| key(u64::MAX - stranger));
            let found: usize = strangers.map(|key| sieve.candidates(&key).count()).sum();
            let rate = found as f64 / (queries * sets) as f64;
            // An ideal filter of 20 bits a key errs 0.9 times in 10,000; keys that crowd in a block cost the rest.
            assert!(rate < 2.5e-4, "{sizes:?}: {rate:e}");
        }
    }

    #[test]
    fn an_empty_sieve_has_no_candidates() {
        let mut sieve = Sieve::default();
        assert_eq!(sieve.candidates(&key(1)).count(), 0);
        sieve.insert(3, &Filter::of(&[]));
        assert_eq!(sieve.candidates(&key(1)).count(), 0);
    }

    #[test]
    fn what_is_no_filter_is_not_read_as_one() {
        for length in [0, 8, 64, 5 * 64 - 8, 5 * 64 + 64, 15 * 64, 10 * 64 - 1] {
            let mut bytes = vec![0; length];
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
            assert_eq!(Filter::from_bytes(&bytes), None, "{length}");
        }
        for length in 0..4 {
            assert_eq!(Filter::from_bytes(&vec![0; length]), None, "{length}");
        }
    }

    #[test]
    fn a_filter_that_lost_a_bit_is_not_read() {
        let sound = Filter::of(&keys(0..300)).to_bytes();
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Filter::from_bytes(&damaged), None, "{bit}");
        }
        assert_eq!(Filter::from_bytes(&sound[..sound.len() - 1]), None);
    }
}

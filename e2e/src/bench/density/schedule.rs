//! Who is called when: decided before the first call, the same for the same seed.

use std::time::Duration;

/// Numbers that look random: `SplitMix64`.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to but not including 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `0..count` in another order.
    pub fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            let other = self.bits() % (last as u64 + 1);
            order.swap(last, usize::try_from(other).unwrap_or(last));
        }
        order
    }
}

/// Popularity of models: the one of rank k (from 1) is called in proportion to k^-exponent.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Share of all ranks up to and including this one.
    sums: Vec<f64>,
}

impl Zipf {
    /// For this many models.
    pub fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=count)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        for share in &mut sums {
            *share /= sum;
        }
        Self { sums }
    }

    /// The smallest exponent from 0.5 on with which at most `tail` of the calls go to ranks beyond `loaded`.
    pub fn exponent(count: usize, loaded: usize, tail: f64) -> f64 {
        let (mut low, mut high) = (0.5, 4.0);
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if Self::new(count, middle).tail(loaded) > tail {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// Share of the calls that go to ranks beyond `loaded`.
    pub fn tail(&self, loaded: usize) -> f64 {
        let share = loaded.checked_sub(1).and_then(|last| self.sums.get(last));
        1.0 - share.copied().unwrap_or(if loaded == 0 { 0.0 } else { 1.0 })
    }

    /// A rank, from 0.
    pub fn rank(&self, random: &mut Random) -> usize {
        let at = random.unit();
        self.sums
            .partition_point(|sum| *sum <= at)
            .min(self.sums.len().saturating_sub(1))
    }
}

/// One call that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// After the start.
    pub at: Duration,
    /// Number of the model.
    pub model: usize,
}

/// Calls for this long at `rate` per second on average, each independent of the others (a Poisson process).
pub fn arrivals(
    rate: f64,
    length: Duration,
    zipf: &Zipf,
    order: &[usize],
    random: &mut Random,
) -> Vec<Arrival> {
    let mut at = 0.0;
    let mut arrivals = Vec::new();
    loop {
        at -= (1.0 - random.unit()).ln() / rate;
        if at >= length.as_secs_f64() {
            return arrivals;
        }
        let rank = zipf.rank(random);
        arrivals.push(Arrival {
            at: Duration::from_secs_f64(at),
            model: order.get(rank).copied().unwrap_or_default(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popular_models_are_called_as_often_as_they_should() {
        let (zipf, mut random) = (Zipf::new(1000, 1.0), Random::new(1));
        let mut counts = vec![0_u32; 1000];
        for _ in 0..100_000 {
            counts[zipf.rank(&mut random)] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.8..2.2).contains(&ratio), "{ratio}");
        let beyond: u32 = counts[100..].iter().sum();
        let tail = f64::from(beyond) / 100_000.0;
        assert!((tail - zipf.tail(100)).abs() < 0.01, "{tail}");
        assert!(zipf.tail(1000).abs() < 1e-9 && (zipf.tail(0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_exponent_gives_the_share() {
        let exponent = Zipf::exponent(20_000, 10_000, 0.01);
        let tail = Zipf::new(20_000, exponent).tail(10_000);
        assert!((tail - 0.01).abs() < 1e-3, "{exponent}: {tail}");
    }

    #[test]
    fn arrivals_come_at_their_rate_and_in_order() {
        let order = Random::new(2).shuffled(50);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        let zipf = Zipf::new(50, 1.0);
        let made = arrivals(
            1000.0,
            Duration::from_secs(10),
            &zipf,
            &order,
            &mut Random::new(3),
        );
        assert!((9_500..10_500).contains(&made.len()), "{}", made.len());
        assert!(made.is_sorted_by_key(|arrival| arrival.at));
        assert!(made.iter().all(|arrival| arrival.at < Duration::from_secs(10)));
        let again = arrivals(
            1000.0,
            Duration::from_secs(10),
            &zipf,
            &order,
            &mut Random::new(3),
        );
        assert_eq!(made, again);
    }
}

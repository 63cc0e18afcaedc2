//! Requests over time, as they come to one router.

use crate::core::fleet::Rng;

/// Kinds of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Zipf's law with this exponent, in tenths: the n-th model is asked for in proportion to 1/n^s.
    Zipf(u32),
    /// The same with exponent 1 for models of 1 to 16 units.
    Sizes,
    /// Two halves of the models that are asked for in turn, as by day and by night.
    Diurnal,
    /// From time to time all unpopular models one after the other.
    Scan,
    /// From time to time twenty models get half of the requests.
    Flash,
    /// The popular models are always the newest ones.
    New,
}

impl Workload {
    /// All that are compared.
    pub const ALL: [Self; 8] = [
        Self::Zipf(8),
        Self::Zipf(10),
        Self::Zipf(12),
        Self::Sizes,
        Self::Diurnal,
        Self::Scan,
        Self::Flash,
        Self::New,
    ];

    /// Its name in tables.
    pub fn name(self) -> String {
        match self {
            Self::Zipf(tenths) => format!("Zipf {:.1}", f64::from(tenths) / 10.0),
            Self::Sizes => "Zipf 1.0, sizes 1-16".to_owned(),
            Self::Diurnal => "diurnal".to_owned(),
            Self::Scan => "scan".to_owned(),
            Self::Flash => "flash crowd".to_owned(),
            Self::New => "new models".to_owned(),
        }
    }
}

/// Requests, 10 ms apart, for models with sizes. A load takes a second for each unit of size.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The model of each request.
    pub requests: Vec<u32>,
    /// Units of each model.
    pub sizes: Vec<u64>,
}

/// Time between two requests.
pub(super) const STEP_MS: u64 = 10;
/// Time that a unit takes to load.
pub(super) const LOAD_MS: f64 = 1_000.0;

impl Trace {
    /// The same for the same arguments.
    pub fn new(workload: Workload, models: u32, requests: usize) -> Self {
        let mut rng = Rng::new(u64::from(models));
        let sizes = (0..models).map(|_| {
            if workload == Workload::Sizes {
                1 + rng.below(16)
            } else {
                1
            }
        });
        let sizes = sizes.collect();
        let half = models / 2;
        let popular = match workload {
            Workload::Zipf(tenths) => Popularity::new(models, f64::from(tenths) / 10.0),
            Workload::Sizes => Popularity::new(models, 1.0),
            Workload::Flash => Popularity::new(models, 0.9),
            Workload::Scan => Popularity::new(half, 0.9),
            Workload::Diurnal | Workload::New => Popularity::new(half, 1.0),
        };
        let mut scanned = 0;
        let one = |at: usize| {
            let done = at as f64 / requests.max(1) as f64;
            let drawn = popular.draw(&mut rng);
            match workload {
                Workload::Diurnal => {
                    let day = f64::midpoint(1.0, (done * 6.0 * std::f64::consts::TAU).sin());
                    if rng.unit() < day { drawn } else { half + drawn }
                }
                Workload::Scan if (done * 8.0).fract() < 0.2 => {
                    scanned += 1;
                    half + scanned % half
                }
                Workload::Zipf(_) | Workload::Sizes | Workload::Scan => drawn,
                Workload::Flash => {
                    let episode = u32::try_from(at * 10 / requests.max(1)).unwrap_or(0);
                    let crowd = episode % 2 == 1 && rng.chance(500_000);
                    let few = u32::try_from(rng.below(20)).unwrap_or(0);
                    if crowd {
                        episode * 977 % (models - 20) + few
                    } else {
                        drawn
                    }
                }
                Workload::New => {
                    let newest =
                        u32::try_from(at as u64 * u64::from(half) / requests.max(1) as u64).unwrap_or(0);
                    half + newest - drawn
                }
            }
        };
        Self {
            requests: (0..requests).map(one).collect(),
            sizes,
        }
    }

    /// Units of a model.
    pub fn size(&self, model: u32) -> u64 {
        self.sizes.get(model as usize).copied().unwrap_or(1)
    }
}

struct Popularity(Vec<f64>);

impl Popularity {
    fn new(models: u32, exponent: f64) -> Self {
        let mut total = 0.0;
        let upto = |rank: u32| {
            total += f64::from(rank).powf(-exponent);
            total
        };
        Self((1..=models).map(upto).collect())
    }

    fn draw(&self, rng: &mut Rng) -> u32 {
        let drawn = rng.unit() * self.0.last().copied().unwrap_or(0.0);
        u32::try_from(self.0.partition_point(|upto| *upto <= drawn)).unwrap_or(0)
    }
}

//! The split of the official HyperSIGMA notebooks, number for number, so that their experiments can be repeated on the
//! very same pixels (ImageClassification/model/split_data.py:307-349; OFFICIAL_BEHAVIOUR.md, 23).
//!
//! For new experiments use [`super::random_split`]: the official rule can leave a small class without any test pixel and
//! carries its exception from one class to the next.

/// How many pixels of a class train and validate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OfficialRule {
    /// So many pixels a class.
    Number { train: usize, val: usize },
    /// These shares of a class, rounded up.
    Ratio { train: f64, val: f64 },
}

/// Pixel lists in the order in which the official code has them: class by class, shuffled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfficialSplit {
    pub train: Vec<u32>,
    pub val: Vec<u32>,
    pub test: Vec<u32>,
}

/// Splits row-major class numbers (0 = unlabelled) as the official code does after `numpy.random.seed(seed)`.
///
/// With [`OfficialRule::Number`] a class with fewer than n − 1 pixels takes 10 instead of n, and the next class is then
/// compared with 10. Shares outside 0..=1 and numbers beyond a class's size are cut to the class.
pub fn official_split(labels: &[u8], classes: u8, rule: OfficialRule, seed: u32) -> OfficialSplit {
    let mut generator = Mt19937::new(seed);
    let mut split = OfficialSplit::default();
    let mut compared = match rule {
        OfficialRule::Number { train, .. } => train,
        OfficialRule::Ratio { .. } => 0,
    };
    for class in 1..=classes {
        let mut pixels: Vec<u32> = (0u32..).zip(labels).filter(|(_, label)| **label == class).map(|(i, _)| i).collect();
        for last in (1..pixels.len()).rev() {
            pixels.swap(last, generator.at_most(last as u32) as usize);
        }
        let (train, val) = match rule {
            OfficialRule::Number { train, val } => {
                compared = if pixels.len() + 1 < compared { 10 } else { train };
                (compared, val)
            }
            OfficialRule::Ratio { train, val } => {
                let share = |ratio: f64| (ratio * pixels.len() as f64).ceil() as usize;
                (share(train), share(val))
            }
        };
        let train = train.min(pixels.len());
        let val = val.min(pixels.len() - train);
        split.train.extend(&pixels[..train]);
        split.val.extend(&pixels[train..train + val]);
        split.test.extend(&pixels[train + val..]);
    }
    split
}

/// The Mersenne Twister (Matsumoto and Nishimura, 1998) as NumPy's legacy generator seeds and uses it.
struct Mt19937 {
    state: [u32; Self::N],
    next: usize,
}

impl Mt19937 {
    const N: usize = 624;
    const M: usize = 397;

    fn new(seed: u32) -> Self {
        let mut state = [seed; Self::N];
        for i in 1..Self::N {
            let before = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = before.wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, next: Self::N }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == Self::N {
            for i in 0..Self::N {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % Self::N] & 0x7fff_ffff);
                let twist = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + Self::M) % Self::N] ^ (y >> 1) ^ twist;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A number in 0..=`max`: bits under the smallest mask that holds `max`, drawn again while larger.
    fn at_most(&mut self, max: u32) -> u32 {
        let mask = u32::MAX.checked_shr(max.leading_zeros()).unwrap_or(0);
        if mask == 0 {
            return 0;
        }
        loop {
            let value = self.next_u32() & mask;
            if value <= max {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // First outputs for seed 5489, the reference implementation's default.
        let mut generator = Mt19937::new(5489);
        assert_eq!([generator.next_u32(), generator.next_u32()], [3_499_211_612, 581_869_302]);
        for _ in 0..9997 {
            generator.next_u32();
        }
        // The 10000th output, as the C++ standard requires of std::mt19937.
        assert_eq!(generator.next_u32(), 4_123_659_995);
    }

    #[test]
    fn cut_to_the_class() {
        let rule = OfficialRule::Ratio { train: 7.0, val: f64::NAN };
        let split = official_split(&[1, 0, 1], 1, rule, 0);
        assert_eq!([split.train.len(), split.val.len(), split.test.len()], [2, 0, 0]);
    }
}

//! What was asked for on the command line.

use hb_sim::explore::plan;
use hb_sim::fault::Fault;
use hb_sim::plan::Plan;
use hb_sim::planted::Planted;
use hb_sim::run::Words;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
/// Options that take a value, beside [`TRACE_FROM`].
const WITH_VALUE: &str = "--seeds --from --jobs --plant --without --rough --nodes --watches --hours --seed";
/// The others.
const ALONE: &str = "--json --keep-going --trace";
/// From which second on a trace is wanted.
const TRACE_FROM: &str = "--trace-from";

/// What follows a command.
pub(crate) struct Asked {
    words: Vec<String>,
}

impl Asked {
    /// Takes words that are known.
    ///
    /// # Errors
    /// The first one that is not.
    pub(crate) fn of(words: Vec<String>) -> Result<Self, String> {
        let mut left = words.iter().filter(|word| word.starts_with("--"));
        let all = || WITH_VALUE.split(' ').chain(ALONE.split(' ')).chain([TRACE_FROM]);
        let known = |word: &&String| all().any(|known| known == word.as_str());
        match left.find(|word| !known(word)) {
            Some(word) => Err(format!("{word} is no option of hb-sim")),
            None => Ok(Self { words }),
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let place = self.words.iter().position(|word| word == name)?;
        self.words.get(place + 1).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str, usual: u64) -> Result<u64, String> {
        match self.value(name) {
            None if self.has(name) => Err(format!("{name}: a number is expected")),
            None => Ok(usual),
            Some(text) => text.parse().map_err(|_| format!("{name} {text}: a number is expected")),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.words.iter().any(|word| word == name)
    }

    fn seed(&self) -> Result<u64, String> {
        let text = self.words.first().ok_or("which SEED?")?;
        text.parse().map_err(|_| format!("{text}: the number of a seed is expected"))
    }

    /// The fault of hb that is to be put in.
    pub(crate) fn planted(&self) -> Result<Option<Planted>, String> {
        let Some(word) = self.value("--plant") else { return Ok(None) };
        let known = || Planted::ALL.iter().map(|planted| planted.word()).collect::<Vec<_>>().join(" ");
        Planted::named(word).map(Some).ok_or_else(|| format!("{word} is none of: {}", known()))
    }

    /// How many threads.
    pub(crate) fn jobs(&self) -> Result<usize, String> {
        let usual = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(usize::try_from(self.number("--jobs", usual as u64)?).unwrap_or(1).max(1))
    }

    /// Which part of a world's trace is to be kept.
    pub(crate) fn trace(&self) -> Result<Words, String> {
        match self.value(TRACE_FROM) {
            Some(_) => Ok(Words::Since(self.number(TRACE_FROM, 0)?.saturating_mul(SECOND))),
            None if self.has("--trace") => Ok(Words::Kept),
            None => Ok(Words::Left),
        }
    }

    /// The world of the seed that comes first, with what is left out of it.
    pub(crate) fn world(&self) -> Result<Plan, String> {
        let mut plan = plan(self.seed()?, self.planted()?);
        for word in self.value("--without").unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
            let fault = Fault::named(word).ok_or_else(|| format!("{word} is no fault"))?;
            plan.mix = plan.mix.with(fault, 0);
        }
        let size = |number: u64| usize::try_from(number).unwrap_or(1);
        plan.rough = self.number("--rough", plan.rough / SECOND)?.saturating_mul(SECOND);
        plan.nodes = size(self.number("--nodes", plan.nodes as u64)?).clamp(1, 16);
        plan.watches = size(self.number("--watches", plan.watches as u64)?).clamp(1, 16);
        Ok(plan)
    }
}

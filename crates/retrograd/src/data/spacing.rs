//! [`Spacing`]: how the labels of rows go on after the last, and how many rows a season has.

/// The distance between the labels of rows.
///
/// ```
/// use retrograd::data::Spacing;
///
/// let labels = ["31.12.2023 22:00", "31.12.2023 23:00", "01.01.2024 00:00"].map(str::to_owned);
/// let hourly = Spacing::of(&labels).unwrap();
/// assert_eq!((hourly, hourly.season()), (Spacing::Seconds(3600), Some(24)));
/// assert_eq!(hourly.after(&labels, 2).unwrap(), ["01.01.2024 01:00", "01.01.2024 02:00"]);
///
/// let months = ["2024-11", "2024-12"].map(str::to_owned);
/// assert_eq!(Spacing::of(&months).unwrap().after(&months, 1).unwrap(), ["2025-01"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spacing {
    /// A number of calendar months.
    Months(i64),
    /// A number of seconds: 86400 for days.
    Seconds(i64),
    /// Whole numbers that differ by this, such as years or row numbers.
    Count(i64),
}

/// Labels from which the distance is told.
const LABELS: usize = 1000;

/// The fields of a date in the order in which a label has them.
type Order = &'static [Field];

#[derive(Clone, Copy, PartialEq)]
enum Field {
    Year,
    Month,
    Day,
}

/// A label's digits, run by run, and what stands around them.
struct Runs<'l> {
    between: Vec<&'l str>,
    digits: Vec<&'l str>,
}

/// A date and a time: year, month, day, hour, minute, second.
type Moment = [i64; 6];

impl Spacing {
    /// The distance that most labels have to the one before, if they are dates or whole numbers.
    #[must_use]
    pub fn of(labels: &[String]) -> Option<Spacing> {
        let labels = &labels[labels.len().saturating_sub(LABELS)..];
        let numbers: Option<Vec<i64>> = labels.iter().map(|l| l.parse().ok()).collect();
        if let Some(numbers) = numbers
            && labels.iter().any(|l| l.len() != 8)
        {
            return usual(&numbers).filter(|d| *d > 0).map(Spacing::Count);
        }
        let order = order(labels)?;
        let moments: Option<Vec<Moment>> = labels.iter().map(|l| moment(l, order)).collect();
        Spacing::of_moments(&moments?)
    }

    fn of_moments(moments: &[Moment]) -> Option<Spacing> {
        let same_day = moments.windows(2).all(|w| w[0][2..] == w[1][2..]);
        let months: Vec<i64> = (moments.iter()).map(|m| 12 * m[0] + m[1]).collect();
        let seconds: Vec<i64> = moments.iter().map(seconds).collect();
        let apart = usual(&seconds).filter(|d| *d > 0);
        match usual(&months) {
            Some(by) if same_day && by > 0 => Some(Spacing::Months(by)),
            _ => apart.map(Spacing::Seconds),
        }
    }

    /// True if the second moment is this far behind the first.
    fn separates(self, a: &Moment, b: &Moment) -> bool {
        match self {
            Spacing::Months(by) => 12 * (b[0] - a[0]) + b[1] - a[1] == by && a[2..] == b[2..],
            Spacing::Seconds(by) => seconds(b) - seconds(a) == by,
            Spacing::Count(_) => false,
        }
    }

    /// So many labels after the last, in its form.
    #[must_use]
    pub fn after(self, labels: &[String], count: usize) -> Option<Vec<String>> {
        let last = labels.last()?;
        if let Spacing::Count(by) = self {
            let last: i64 = last.parse().ok()?;
            let next = (1..=count as i64).map(|k| last.checked_add(k.checked_mul(by)?));
            return next.map(|n| Some(n?.to_string())).collect();
        }
        let order = order(&labels[labels.len().saturating_sub(LABELS)..])?;
        let start = moment(last, order)?;
        let next = |k: i64| {
            let moment = match self {
                Spacing::Months(by) => {
                    let months = 12 * start[0] + start[1] - 1 + by * k;
                    let mut moved = start;
                    (moved[0], moved[1]) = (months.div_euclid(12), months.rem_euclid(12) + 1);
                    moved
                }
                Spacing::Seconds(by) => of_seconds(seconds(&start) + by * k),
                Spacing::Count(_) => return None,
            };
            Some(written(last, order, moment))
        };
        (1..=count as i64).map(next).collect()
    }

    /// The rows of a season: a day of hours, a week of days, a year of weeks, months or quarters.
    #[must_use]
    pub fn season(self) -> Option<usize> {
        const HOUR: i64 = 3600;
        match self {
            Spacing::Months(1) => Some(12),
            Spacing::Months(3) => Some(4),
            Spacing::Seconds(by) => match by {
                604_800 => Some(52),
                86_400 => Some(7),
                by if by <= HOUR * 12 && 86_400 % by == 0 => usize::try_from(86_400 / by).ok(),
                _ => None,
            },
            Spacing::Months(_) | Spacing::Count(_) => None,
        }
    }
}

/// The distance of most neighbours.
fn usual(numbers: &[i64]) -> Option<i64> {
    let mut distances: Vec<i64> = numbers
        .windows(2)
        .map(|w| w[1].wrapping_sub(w[0]))
        .collect();
    distances.sort_unstable();
    let middle = *distances.get(distances.len() / 2)?;
    let same = distances.iter().filter(|d| **d == middle).count();
    (2 * same > distances.len()).then_some(middle)
}

const ORDERS: [Order; 5] = [
    &[Field::Year, Field::Month, Field::Day],
    &[Field::Day, Field::Month, Field::Year],
    &[Field::Month, Field::Day, Field::Year],
    &[Field::Year, Field::Month],
    &[Field::Year],
];

/// The order of the fields by which all labels are dates: which goes back least often, then whose distances are most
/// even. If that leaves several, 8/2/2024 is a day in August and 8.2.2024 one in February.
fn order(labels: &[String]) -> Option<Order> {
    let slashes = labels.iter().any(|l| l.contains('/'));
    let judged = |order: Order| {
        let moments: Option<Vec<Moment>> = labels.iter().map(|l| moment(l, order)).collect();
        let moments = moments?;
        let pairs = || moments.windows(2);
        let spacing = Spacing::of_moments(&moments);
        let even = |w: &&[Moment]| spacing.is_some_and(|s| s.separates(&w[0], &w[1]));
        let falls = pairs().filter(|w| w[1] < w[0]).count();
        let uneven = pairs().count() - pairs().filter(even).count();
        let unusual = slashes && order.first() == Some(&Field::Day);
        Some(((falls, uneven, unusual), order))
    };
    let fitting = ORDERS.into_iter().filter_map(judged);
    fitting.min_by_key(|x| x.0).map(|(_, order)| order)
}

fn runs(label: &str) -> Runs<'_> {
    let (mut between, mut digits, mut rest) = (Vec::new(), Vec::new(), label);
    loop {
        let start = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        between.push(&rest[..start]);
        rest = &rest[start..];
        if rest.is_empty() {
            return Runs { between, digits };
        }
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        digits.push(&rest[..end]);
        rest = &rest[end..];
    }
}

/// The runs of digits with the eight of a date without separators as three.
fn split_date(label: &str) -> Runs<'_> {
    let mut runs = runs(label);
    if let Some(first) = runs.digits.first().copied().filter(|d| d.len() == 8) {
        runs.digits
            .splice(..1, [&first[..4], &first[4..6], &first[6..]]);
        runs.between.splice(1..1, ["", ""]);
    }
    runs
}

/// A label as a date, with a time if it has one.
fn moment(label: &str, order: Order) -> Option<Moment> {
    let runs = split_date(label);
    // Words between the digits would be months or hours of another clock.
    let separator = |s: &&str| {
        s.chars()
            .all(|c| !c.is_alphabetic() || matches!(c, 'T' | 'Z'))
    };
    if !runs.between.iter().all(separator) || runs.digits.len() < order.len() {
        return None;
    }
    let mut out: Moment = [1970, 1, 1, 0, 0, 0];
    for (field, digits) in order.iter().zip(&runs.digits) {
        let n: i64 = digits.parse().ok()?;
        let (at, fits) = match field {
            Field::Year => (0, digits.len() == 4),
            Field::Month => (1, digits.len() <= 2 && (1..=12).contains(&n)),
            Field::Day => (2, digits.len() <= 2 && (1..=31).contains(&n)),
        };
        out[at] = fits.then_some(n)?;
    }
    let time = &runs.digits[order.len()..];
    // Only a whole date has a time behind it; a fraction or an offset stays as it is.
    if order.len() < 3 && !time.is_empty() {
        return None;
    }
    for (k, digits) in time.iter().take(3).enumerate() {
        let n: i64 = digits.parse().ok()?;
        let most = [24, 59, 60][k];
        out[3 + k] = (digits.len() <= 2 && n <= most).then_some(n)?;
    }
    Some(out)
}

/// A moment in the form of a label.
fn written(like: &str, order: Order, moment: Moment) -> String {
    let runs = split_date(like);
    let mut out = runs
        .between
        .first()
        .map_or(String::new(), |s| (*s).to_owned());
    for (k, digits) in runs.digits.iter().enumerate() {
        let field = match order.get(k) {
            Some(Field::Year) => Some(0),
            Some(Field::Month) => Some(1),
            Some(Field::Day) => Some(2),
            None => (k - order.len() < 3).then_some(3 + k - order.len()),
        };
        // A day or month of one digit may stand for one that is written without a leading zero.
        let width = if digits.len() == 2 || digits.len() == 4 {
            digits.len()
        } else {
            1
        };
        match field {
            Some(at) => out += &format!("{:0width$}", moment[at]),
            None => out += digits,
        }
        out += runs.between[k + 1];
    }
    out
}

/// Seconds since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms": `days_from_civil`).
fn seconds([year, month, day, hour, minute, second]: &Moment) -> i64 {
    let y = year - i64::from(*month <= 2);
    let (era, shifted) = (y.div_euclid(400), (month + 9) % 12);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    ((days * 24 + hour) * 60 + minute) * 60 + second
}

/// The inverse of [`seconds`] (ibid., `civil_from_days`).
fn of_seconds(seconds: i64) -> Moment {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z - era * 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    [year, month, day, rest / 3600, rest / 60 % 60, rest % 60]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(labels: &[&str], count: usize) -> Vec<String> {
        let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        let spacing = Spacing::of(&labels).unwrap();
        spacing.after(&labels, count).unwrap()
    }

    #[test]
    fn labels_go_on_in_their_own_form() {
        assert_eq!(
            after(&["2024-02-27", "2024-02-28"], 3),
            ["2024-02-29", "2024-03-01", "2024-03-02"]
        );
        assert_eq!(after(&["12/30/2023", "12/31/2023"], 1), ["01/01/2024"]);
        assert_eq!(after(&["30.12.2023", "31.12.2023"], 1), ["01.01.2024"]);
        assert_eq!(after(&["8/2/2024", "8/9/2024"], 1), ["8/16/2024"]);
        assert_eq!(after(&["8.2.2024", "8.9.2024"], 1), ["8.4.2025"]);
        let first_days: Vec<String> = (1..=12).map(|m| format!("01/{m:02}/2024")).collect();
        let first_days: Vec<&str> = (first_days.iter().map(String::as_str))
            .chain(["01/01/2025"])
            .collect();
        assert_eq!(after(&first_days, 1), ["01/02/2025"]);
        assert_eq!(
            after(&["2024-01-31T23:30:00Z", "2024-01-31T23:45:00Z"], 2)[1],
            "2024-02-01T00:15:00Z"
        );
        assert_eq!(
            after(&["2023-10-01", "2023-11-01", "2023-12-01"], 2),
            ["2024-01-01", "2024-02-01"]
        );
        assert_eq!(after(&["20231230", "20231231"], 1), ["20240101"]);
        assert_eq!(after(&["2007", "2008"], 2), ["2009", "2010"]);
        assert_eq!(after(&["3", "4", "5"], 2), ["6", "7"]);
    }

    #[test]
    fn what_has_no_distance_has_no_next() {
        for labels in [
            &["mon", "tue"][..],
            &["2024-01-01"],
            &["5", "4"],
            &["2024-01-01", "2024-01-05", "2024-03-01"],
        ] {
            let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
            assert_eq!(Spacing::of(&labels), None, "{labels:?}");
        }
    }

    #[test]
    fn seconds_and_dates_are_inverse() {
        for days in (-1_000_000..1_000_000).step_by(997) {
            let at = days * 86_400 + 4321;
            assert_eq!(seconds(&of_seconds(at)), at);
        }
        assert_eq!(of_seconds(951_782_400), [2000, 2, 29, 0, 0, 0]);
    }
}

//! Numbers with three digits and a unit.

/// A number with three digits and a unit of thousands.
pub(super) fn quantity(x: f64) -> String {
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    let unit = units.into_iter().find(|(size, _)| x >= *size);
    match unit {
        Some((size, name)) => format!("{}{name}", digits(x / size)),
        None => digits(x),
    }
}

pub(super) fn bytes(x: f64) -> String {
    let units = [
        (f64::from(1 << 30), "GiB"),
        (f64::from(1 << 20), "MiB"),
        (1024.0, "KiB"),
    ];
    match units.into_iter().find(|(size, _)| x >= *size) {
        Some((size, name)) => format!("{} {name}", digits(x / size)),
        None => format!("{} bytes", digits(x)),
    }
}

pub(super) fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{} s", digits(s)),
        s if s >= 1e-3 => format!("{} ms", digits(s * 1e3)),
        s => format!("{} µs", digits(s * 1e6)),
    }
}

/// Three digits, without those after the point that say nothing.
fn digits(x: f64) -> String {
    match x {
        _ if x.fract() == 0.0 || x >= 100.0 => format!("{x:.0}"),
        _ if x >= 10.0 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

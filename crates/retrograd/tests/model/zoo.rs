use retrograd::{Cell, Init, zoo};

fn cell(name: &str) -> Cell {
    zoo::forecaster(zoo::find(name).expect("it is in the zoo"), 3, 8).expect("it is right")
}

/// Names of the gates' parameters, without the readout's.
fn names(name: &str) -> Vec<String> {
    let cell = cell(name);
    let mut names: Vec<String> = cell.parameter_specs().map(|p| p.name.to_owned()).collect();
    assert_eq!(
        names.split_off(names.len() - 2),
        ["forecast.h", "forecast.bias"]
    );
    names
}

#[test]
fn the_registry_names_every_cell_once() {
    for name in zoo::names() {
        assert_eq!(cell(name).name(), name);
        assert_eq!(zoo::names().filter(|n| *n == name).count(), 1);
    }
    assert_eq!(zoo::question().count(), 10);
}

#[test]
fn parameters_have_the_names_of_their_gates() {
    let gates = |gates: &[&str], operands: &[&str]| -> Vec<String> {
        let mut names = Vec::new();
        for gate in gates {
            names.extend(operands.iter().map(|o| format!("{gate}.{o}")));
        }
        names
    };
    let xh = ["x", "h", "bias"];
    let xhc = ["x", "h", "c", "bias"];
    let joined = |parts: [Vec<String>; 2]| parts.concat();
    assert_eq!(names("rnn"), gates(&["h"], &xh));
    assert_eq!(
        names("keepwrite"),
        gates(&["keep", "write", "c_int", "h_int"], &xh)
    );
    let expected = joined([gates(&["memory"], &xhc), gates(&["h_int"], &xh)]);
    assert_eq!(names("one_memory"), expected);
    let expected = [
        gates(&["memory_hidden"], &xhc),
        gates(&["memory"], &["memory_hidden", "bias"]),
        gates(&["h_int"], &xh),
    ];
    assert_eq!(names("one_memory_deep"), expected.concat());
    let memory = gates(&["keep", "write", "c_int"], &xh);
    let expected = joined([memory.clone(), gates(&["hidden"], &xhc)]);
    assert_eq!(names("one_hidden"), expected);
    let expected = [
        memory,
        gates(&["hidden_hidden"], &xhc),
        gates(&["hidden"], &["hidden_hidden", "bias"]),
    ];
    assert_eq!(names("one_hidden_deep"), expected.concat());
    assert_eq!(names("irnn"), gates(&["h"], &xh));
    assert_eq!(names("gru"), gates(&["reset", "update", "new"], &xh));
    let expected = joined([
        gates(&["reset", "update"], &xh),
        gates(&["new"], &["x", "bias", "h", "h_bias"]),
    ]);
    assert_eq!(names("gru_after"), expected);
    let expected = gates(&["input", "forget", "cell", "output"], &xh);
    assert_eq!(names("lstm"), expected);
}

#[test]
fn beginnings_are_those_of_the_papers() {
    let init = |cell: &Cell, name: &str| {
        cell.parameter_specs()
            .find(|p| p.name == name)
            .unwrap()
            .init
    };
    let irnn = cell("irnn");
    assert_eq!(init(&irnn, "h.h"), Init::Identity);
    assert_eq!(init(&irnn, "h.bias"), Init::Zeros);
    assert_eq!(init(&irnn, "h.x"), Init::Normal(0.001));
    assert_eq!(init(&cell("lstm"), "forget.bias"), Init::Constant(1.0));
}

#[test]
fn a_cell_of_no_units_is_refused() {
    let e = zoo::forecaster(&zoo::ENTRIES[0], 3, 0).expect_err("no units");
    assert!(e.to_string().contains("at least one element"), "{e}");
}

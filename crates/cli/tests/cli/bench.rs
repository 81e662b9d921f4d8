//! `retrograd bench`. What the numbers are is the machine's; here is which there are, and how they belong together.

use std::fs;

use serde_json::Value;

use super::{directory, json, refused, run, text};

const SMALL: [&str; 4] = ["bench", "--secs", "0.02", "--cell"];

#[test]
fn a_cell_of_the_zoo_at_two_shapes() {
    let at = directory("bench");
    let found = json(
        &at,
        &[&SMALL[..], &["lstm", "--shapes", "16x4x20,2x5"]].concat(),
    );
    let lines = found["measurements"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    let number = |line: &Value, path: &str| {
        line.pointer(path)
            .and_then(Value::as_f64)
            .unwrap_or(f64::NAN)
    };
    for line in lines {
        for engine in ["compiled", "interpreted"] {
            let of = |key: &str| number(line, &format!("/{engine}/{key}"));
            let times = ["min_ms", "q1_ms", "median_ms", "q3_ms"].map(of);
            assert!(times[0] > 0.0 && times.is_sorted(), "{line}");
            let points = number(line, "/rows") * number(line, "/steps");
            assert!(
                (of("us_per_row_step") * points / 1e3 / times[0] - 1.0).abs() < 1e-9,
                "{line}"
            );
            assert!(
                (of("gflops") * times[0] * 1e6 / number(line, "/flops") - 1.0).abs() < 1e-9,
                "{line}"
            );
            assert!(of("workspace_mb") > 0.0 && of("compile_ms") > 0.0, "{line}");
        }
        assert!(
            number(line, "/predicted_ms") > 0.0 && line["own_loss"] == false,
            "{line}"
        );
        assert!(line.get("baseline").is_none());
    }
    // Each input and hidden unit has four gates; W x needs no gradient of x.
    assert_eq!(
        number(&lines[0], "/flops"),
        f64::from(2 * 4 * 16 * 16 * (2 + 3) * 4 * 20)
    );
    assert_eq!(lines[0]["sizes"], serde_json::json!([["I", 16], ["H", 16]]));
    assert_eq!(lines[1]["sizes"], serde_json::json!([]));
}

#[test]
fn a_file_with_a_loss_is_drawn_saved_and_compared_with_last_time() {
    let at = directory("bench-baseline");
    let cell = "cell near(x[I], word; h[H]) where I=2, H=8
e = embedding[20, 4](word)
h' = tanh(dense(x, e, h))
output y = dense[I](h')
target next[I]
loss mean(square(y - next))
";
    fs::write(at.join("near.cell"), cell).unwrap();
    let command = [
        &SMALL[..],
        &["near.cell", "--shapes", "4x16", "--set", "H=12"],
    ]
    .concat();
    let plots = ["--save", "base.json", "--plot", "bars.svg"];
    let first = json(&at, &[&command[..], &plots].concat());
    assert_eq!(first["measurements"][0]["own_loss"], true);
    let saved: Value =
        serde_json::from_str(&fs::read_to_string(at.join("base.json")).unwrap()).unwrap();
    assert_eq!(saved, first);
    let svg = fs::read_to_string(at.join("bars.svg")).unwrap();
    assert!(
        svg.contains("H=12 B=4 T=16") && svg.contains("predicted"),
        "{svg}"
    );
    roxmltree::Document::parse(&svg).unwrap();
    run(&at, &[&command[..], &["--plot", "bars.png"]].concat());
    assert!(
        fs::read(at.join("bars.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );

    // Ten times as slow then is faster now, and the other way round; a peak that is as much lower explains it.
    let against = |factor: f64, peak: f64| {
        let mut then = first.clone();
        let line = &mut then["measurements"][0];
        line["peak_gflops"] = (line["peak_gflops"].as_f64().unwrap() * peak).into();
        for engine in ["compiled", "interpreted"] {
            for time in line[engine]["rounds_ms"].as_array_mut().unwrap() {
                *time = (time.as_f64().unwrap() * factor).into();
            }
        }
        fs::write(at.join("then.json"), then.to_string()).unwrap();
        let now = json(&at, &[&command[..], &["--baseline", "then.json"]].concat());
        now["measurements"][0]["baseline"]["compiled"]["change"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(against(10.0, 1.0), "faster");
    assert_eq!(against(0.1, 1.0), "slower");
    assert_eq!(against(0.1, 100.0), "not_measurable");
    let output = run(&at, &[&command[..], &["--baseline", "then.json"]].concat());
    let said = text(&output.stdout);
    assert!(
        said.contains("times as fast as the interpreted tape; predicted"),
        "{said}"
    );
    assert!(
        said.contains("against then.json: compiled code: no difference measurable ("),
        "{said}"
    );

    // A step of another precision is another measurement.
    let rounded = [&command[..], &["--precision", "bf16"]].concat();
    let output = run(&at, &[&rounded[..], &["--save", "rounded.json"]].concat());
    let said = text(&output.stdout);
    assert!(
        said.contains("a training step in f32, with bfloat16 operands in compiled products ("),
        "{said}"
    );
    let again = json(
        &at,
        &[&rounded[..], &["--baseline", "rounded.json"]].concat(),
    );
    assert_eq!(again["measurements"][0]["precision"], "bf16");
    assert!(again["measurements"][0].get("baseline").is_some());
    let told = refused(
        &at,
        &[&rounded[..], &["--baseline", "then.json"]].concat(),
        1,
    );
    assert!(told.contains("threads and precision"), "{told}");
}

#[test]
fn what_cannot_be_measured_is_told() {
    let at = directory("bench-mistakes");
    fs::write(
        at.join("still.cell"),
        "cell still(x; h)\nh' = 0.5 * h + x\noutput h'\n",
    )
    .unwrap();
    fs::write(
        at.join("mute.cell"),
        "cell mute(x; h)\nparam w\nh' = w * h + x\n",
    )
    .unwrap();
    fs::write(at.join("other.json"), "{}").unwrap();
    fs::write(at.join("empty.json"), "{\"measurements\": []}").unwrap();
    let shape = "is no shape; a shape is BxT or HxBxT, as 32x100 or 128x32x100 for 128 units, 32 rows, 100 steps, each from 1 to 1000000";
    for (more, code, message) in [
        (
            &["lstm", "--shapes", "0x4"][..],
            2,
            format!("`0x4` {shape}"),
        ),
        (
            &["lstm", "--shapes", "4x5x6x7"],
            2,
            format!("`4x5x6x7` {shape}"),
        ),
        (
            &["lstm", "--shapes", "9999999x4"],
            2,
            format!("`9999999x4` {shape}"),
        ),
        (&["lstm", "--shapes", "many"], 2, format!("`many` {shape}")),
        (&["lsmt"], 2, "there is no cell `lsmt`".into()),
        (
            &["lstm", "--plot", "bars.pdf"],
            2,
            "expected a name that ends in .svg or .png".into(),
        ),
        (
            &["still.cell"],
            1,
            "the cell `still` has no parameters: there is no training step to measure".into(),
        ),
        (
            &["mute.cell"],
            1,
            "the cell `mute` has neither a loss nor an output: a training step needs a `loss` line"
                .into(),
        ),
        (
            &["mute.cell", "--shapes", "8x2x3"],
            1,
            "8x2x3: the cell `mute` has no size left to be 8; expected a shape BxT, as 2x3".into(),
        ),
        (
            &["lstm", "--shapes", "1000000x1000000"],
            1,
            "1000000x1000000: T = 1000000 steps of B = 1000000 rows cannot be measured".into(),
        ),
        (
            &["lstm", "--shapes", "30000x30000"],
            1,
            "MiB): expected a smaller shape".into(),
        ),
        (
            &["lstm", "--baseline", "none.json"],
            1,
            "none.json cannot be read".into(),
        ),
        (
            &["lstm", "--baseline", "other.json"],
            1,
            "other.json has no results of `retrograd bench --save`".into(),
        ),
        (
            &["lstm", "--shapes", "1x2", "--baseline", "empty.json"],
            1,
            "empty.json has none of these measurements".into(),
        ),
    ] {
        let said = refused(&at, &[&SMALL[..], more].concat(), code);
        assert!(said.contains(&message), "{more:?}: {said}");
    }
    // A size that is too great is a mistake in the cell's file, which shows its line.
    let large = [&SMALL[..], &["lstm", "--shapes", "1000000x1x1"]].concat();
    let output = run(&at, &large);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("`input.x` would be [1000000,1000000], which is more than"),
        "{said}"
    );
}

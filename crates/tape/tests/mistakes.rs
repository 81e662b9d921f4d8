//! What a user can do wrong in recording a program, and what is said then. (In running one: `run_mistakes.rs`.)

use retrograd_tape::{BothWays, Domain, InputRole, Map, Op, Recorder, Shape, TapeError, Var};

const FILE: &str = "crates/tape/tests/mistakes.rs";

/// Records a program, expects it to be refused, and checks the parts of the message. `line` is the line of the mistake, if
/// it is one of this file.
fn refused(record: impl FnOnce(&Recorder) -> Option<u32>, parts: &[&str]) -> TapeError {
    let r = Recorder::new();
    let line = record(&r);
    let error = r.finish("mistake").expect_err("it should be refused");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    if let Some(line) = line {
        let here = format!("{FILE}:{line}:");
        assert!(text.contains(&here), "`{here}` is missing in: {text}");
    }
    error
}

#[test]
fn shapes_that_do_not_fit_are_named_with_both_values_shapes_and_the_line() {
    let e = refused(
        |r| {
            let w = r.param("weights", Shape::Matrix(3, 4));
            let x = r.input("wind", InputRole::Sequence, Shape::Vector(5));
            let line = line!() + 1;
            r.output("y", w.matvec(x).tanh());
            Some(line)
        },
        &[
            "matvec",
            "`weights` is [3,4]",
            "`wind` is [5]",
            "should be [4]",
        ],
    );
    assert!(matches!(e, TapeError::TypeMismatch { .. }));
    refused(
        |r| {
            let a = r.param("a", Shape::Vector(2));
            let b = r.param("b", Shape::Vector(3));
            let line = line!() + 1;
            let _: Var<'_> = a * b;
            Some(line)
        },
        &["`mul`", "`a` is [2]", "`b` is [3]"],
    );
}

#[test]
fn the_first_of_several_mistakes_is_told() {
    refused(
        |r| {
            let a = r.param("a", Shape::Vector(2));
            let b = r.param("b", Shape::Vector(3));
            let line = line!() + 1;
            let poison = a + b;
            r.loss(poison);
            r.next(a, poison);
            r.output("y", Var::concat(&[poison, a]).outer(b).softmax());
            r.param("a", Shape::Scalar);
            Some(line)
        },
        &["`add`"],
    );
}

#[test]
fn a_state_needs_one_next_value_of_its_own_shape() {
    let e = refused(
        |r| {
            let line = line!() + 1;
            r.state("memory", Shape::Vector(2), 1, None);
            Some(line)
        },
        &["`memory`", "next"],
    );
    assert!(matches!(e, TapeError::NoNext { .. }));
    let e = refused(
        |r| {
            let s = r.state("memory", Shape::Vector(2), 1, None);
            r.next(s, s.tanh());
            let line = line!() + 1;
            r.next(s, s.exp());
            Some(line)
        },
        &["`memory`", "already"],
    );
    assert!(matches!(e, TapeError::NextTwice { .. }));
    refused(
        |r| {
            let s = r.state("memory", Shape::Vector(2), 1, None);
            let p = r.param("p", Shape::Vector(3));
            let line = line!() + 1;
            r.next(s, p);
            Some(line)
        },
        &["`memory` is [2]", "`p` is [3]"],
    );
    refused(
        |r| {
            let p = r.param("start", Shape::Vector(3));
            let line = line!() + 1;
            r.state("memory", Shape::Vector(2), 1, Some(p));
            Some(line)
        },
        &["`memory` is [2]", "`start` is [3]"],
    );
    let e = refused(
        |r| {
            let p = r.param("p", Shape::Vector(3));
            let line = line!() + 1;
            r.next(p, p);
            Some(line)
        },
        &["`p`"],
    );
    assert!(matches!(e, TapeError::NotAState { .. }));
    refused(
        |r| {
            let line = line!() + 1;
            r.state("memory", Shape::Scalar, 0, None);
            Some(line)
        },
        &["`memory`", "delay other than 0"],
    );
}

#[test]
fn a_recurrence_that_runs_both_ways_is_refused_and_its_states_named() {
    let e = refused(
        |r| {
            let a = r.state("past", Shape::Scalar, 1, None);
            let b = r.state("future", Shape::Scalar, -1, None);
            r.next(a, b.tanh());
            r.next(b, a.tanh());
            r.output("y", a);
            None
        },
        &["`past`", "`future`"],
    );
    assert!(matches!(e, TapeError::BothWays(BothWays::NoOrder { .. })));
}

#[test]
fn a_recurrence_of_both_signs_that_could_be_computed_is_refused_as_such() {
    let e = refused(
        |r| {
            let x = r.input("x", InputRole::Sequence, Shape::Scalar);
            // a reads b one step later, b reads a two steps earlier: once around is one step back.
            let a = r.state("early", Shape::Scalar, 2, None);
            let b = r.state("late", Shape::Scalar, -1, None);
            r.next(a, (x + b).tanh());
            r.next(b, (x + a).tanh());
            r.output("y", a);
            None
        },
        &["`early`", "`late`", "not supported", "other delays"],
    );
    assert!(matches!(e, TapeError::BothWays(BothWays::Mixed { .. })));
}

#[test]
fn what_is_known_after_the_steps_cannot_be_what_they_need() {
    let e = refused(
        |r| {
            let x = r.input("x", InputRole::Sequence, Shape::Scalar);
            let s = r.state("s", Shape::Scalar, 1, None);
            let total = s.sum_to(Domain::Row).named("total");
            r.next(s, x - total);
            None
        },
        &["`total`", "after the last step", "the steps of `s`"],
    );
    assert!(matches!(e, TapeError::AfterTheSteps { .. }));
    refused(
        |r| {
            let x = r.input("x", InputRole::Sequence, Shape::Scalar);
            let s = r.state("s", Shape::Scalar, 1, None);
            let next = r.next(s, s + x);
            let other = r.state("other", Shape::Scalar, -1, Some(next.last()));
            let next = r.next(other, other + s);
            let t = r.state("third", Shape::Scalar, 1, None);
            let late = (t * next).mean_to(Domain::Row).named("late");
            r.next(t, late + x);
            None
        },
        &["after the last step", "`third`"],
    );
}

#[test]
fn names_are_used_once() {
    for (kind, record) in [
        (
            "an input",
            (|r: &Recorder| {
                r.param("twice", Shape::Scalar);
                r.input("twice", InputRole::Sequence, Shape::Scalar);
                line!() - 1
            }) as fn(&Recorder) -> u32,
        ),
        ("an output", |r| {
            let x = r.param("x", Shape::Scalar);
            r.output("twice", x);
            r.output("twice", x);
            line!() - 1
        }),
        ("a state", |r| {
            let init = r.param("init", Shape::Scalar);
            r.state("twice", Shape::Scalar, 1, Some(init));
            r.state("twice", Shape::Scalar, 1, Some(init));
            line!() - 1
        }),
    ] {
        refused(|r| Some(record(r)), &[kind, "`twice`"]);
    }
}

#[test]
fn a_loss_and_a_weight_are_scalars() {
    let e = refused(
        |r| {
            let x = r.input("rain", InputRole::Sequence, Shape::Vector(4));
            let line = line!() + 1;
            r.loss(x);
            Some(line)
        },
        &["loss", "`rain`", "[4]", "mean()"],
    );
    assert!(matches!(e, TapeError::NotScalar { .. }));
    let e = refused(
        |r| {
            let x = r.input("rain", InputRole::Sequence, Shape::Vector(4));
            let line = line!() + 1;
            r.weight(x);
            Some(line)
        },
        &["weight", "`rain`", "[4]"],
    );
    assert!(matches!(e, TapeError::NotScalar { .. }));
}

#[test]
fn values_of_two_tapes_do_not_mix() {
    let other = Recorder::new();
    let foreign = other.param("foreign", Shape::Scalar);
    let r = Recorder::new();
    let x = r.param("x", Shape::Scalar);
    r.output("y", x + foreign);
    let e = r.finish("mixed").expect_err("refused");
    assert!(matches!(e, TapeError::TwoTapes { .. }), "{e}");
    assert!(e.to_string().contains("`foreign`"), "{e}");
}

#[test]
fn an_empty_shape_is_refused() {
    refused(
        |r| {
            let line = line!() + 1;
            r.param("nothing", Shape::Vector(0));
            Some(line)
        },
        &["`nothing`", "at least one element"],
    );
}

/// Records something wrong: with the recorder, a vector of it (`mine`, two numbers) and one of another recorder (`theirs`).
type Misuse = for<'t> fn(&'t Recorder, Var<'t>, Var<'t>);

/// Recording it is all that matters.
fn unused(_: Var<'_>) {}

fn misused(table: &[(&str, Misuse)], parts: &[&str]) {
    for (what, misuse) in table {
        let (r, other) = (Recorder::new(), Recorder::new());
        let mine = r.param("mine", Shape::Vector(2));
        misuse(&r, mine, other.param("theirs", Shape::Vector(2)));
        let error = r.finish("misuse").expect_err(what).to_string();
        for part in parts.iter().chain([&FILE]) {
            assert!(
                error.contains(part),
                "{what}: `{part}` is missing in: {error}"
            );
        }
    }
}

#[test]
fn a_value_of_another_recorder_is_refused_wherever_it_is_used_and_named() {
    let table: &[(&str, Misuse)] = &[
        ("output", |r, _, x| r.output("y", x)),
        ("loss", |r, _, x| r.loss(x)),
        ("weight", |r, _, x| r.weight(x)),
        ("next state", |r, m, x| unused(r.next(x, m))),
        ("next value", |r, _, x| {
            let s = r.state("s", Shape::Vector(2), 1, None);
            r.next(s, x);
        }),
        ("initial value", |r, m, x| {
            let s = r.state("s", Shape::Vector(2), 1, Some(x));
            r.next(s, m);
        }),
        ("right operand", |_, m, x| unused(m + x)),
        ("left operand", |r, m, x| r.output("y", x.dot(m))),
        ("select", |_, m, x| unused(m.select(m, x))),
        ("matvec", |r, _, x| {
            unused(r.param("w", Shape::Matrix(2, 2)).matvec(x))
        }),
        ("outer", |_, m, x| unused(m.outer(x))),
        ("concat", |_, m, x| unused(Var::concat(&[m, m, x]))),
        ("apply", |r, m, x| {
            unused(r.apply(Op::Map(Map::Add), &[m, x]))
        }),
        ("gather", |r, _, x| {
            unused(r.param("w", Shape::Matrix(2, 2)).gather(x))
        }),
    ];
    // What is computed from a foreign value first is named by its op, and a mistake of the other recorder is none of ours.
    let named = |name: &&(&str, Misuse)| name.0 != "left operand";
    misused(
        &table.iter().filter(named).copied().collect::<Vec<_>>(),
        &["`theirs`", "another recorder"],
    );
    misused(table, &["another recorder"]);
    misused(
        &[
            ("number", |r, _, x| r.output("y", 2.0 * x)),
            ("poison", |r, _, x| r.output("y", x.slice(5, 1))),
            ("softmax", |r, _, x| r.loss(x.softmax().sum())),
        ],
        &["another recorder"],
    );
}

#[test]
fn a_concat_of_nothing_is_refused_by_whatever_uses_it() {
    misused(
        &[
            ("output", |r, _, _| r.output("y", Var::concat(&[]))),
            ("loss", |r, _, _| r.loss(Var::concat(&[]).sum())),
            ("function", |r, _, _| r.output("y", Var::concat(&[]).tanh())),
            ("number", |r, _, _| {
                r.output("y", 1.0 + Var::concat(&[]) * 2.0)
            }),
            ("operand", |_, m, _| unused(Var::concat(&[]) + m)),
            ("composite", |r, _, _| r.weight(Var::concat(&[]).softmax())),
            ("outer", |_, m, _| unused(m.outer(Var::concat(&[])))),
            ("apply", |r, _, _| {
                unused(r.apply(Op::Dot, &[Var::concat(&[]); 2]))
            }),
            ("named", |r, _, _| {
                r.output("y", Var::concat(&[]).named("n"))
            }),
            ("nothing of nothing", |r, _, _| {
                r.output("y", Var::concat(&[Var::concat(&[])]))
            }),
        ],
        &["`concat` needs at least one value"],
    );
}

#[test]
fn ops_that_cannot_be_and_declarations_of_what_declares_itself_are_refused() {
    misused(
        &[
            ("constant", |r, _, _| {
                unused(r.constant(1.0, Shape::Vector(0)))
            }),
            ("broadcast", |_, m, _| {
                unused(m.sum().broadcast(Shape::Matrix(3, 0)))
            }),
            ("scatter", |r, m, _| {
                let (rows, to) = (0, Domain::Once);
                unused(r.apply(Op::Scatter { rows, to }, &[m.sum(), m]))
            }),
        ],
        &["needs at least one element"],
    );
    misused(
        &[
            ("no operand", |r, _, _| {
                unused(r.apply(Op::Map(Map::Add), &[]))
            }),
            ("one operand", |r, m, _| unused(r.apply(Op::Dot, &[m]))),
            ("too many", |r, m, _| unused(r.apply(Op::Dot, &[m; 4]))),
            ("slice", |_, m, _| unused(m.slice(usize::MAX, usize::MAX))),
            ("empty slice", |_, m, _| unused(m.slice(0, 0))),
            ("axis", |r, m, _| {
                unused(r.apply(Op::Concat { axis: usize::MAX }, &[m, m]))
            }),
            ("reshape", |_, m, _| {
                unused(m.reshape(Shape::Matrix(usize::MAX, usize::MAX)))
            }),
            ("domain", |r, m, _| {
                unused(r.apply(Op::SumTo(Domain::Step), &[m]))
            }),
            ("softmax", |r, _, _| {
                unused(r.param("w", Shape::Matrix(2, 2)).softmax())
            }),
            ("layer_norm", |r, _, _| {
                unused(r.param("w", Shape::Matrix(2, 2)).layer_norm(1e-5))
            }),
            ("logsumexp", |r, _, _| {
                unused(r.param("w", Shape::Matrix(2, 2)).logsumexp())
            }),
            ("mod", |r, _, _| {
                let (a, b) = (
                    r.param("a", Shape::Vector(2)),
                    r.param("b", Shape::Vector(3)),
                );
                unused(a.modulo(b))
            }),
        ],
        &["does not fit"],
    );
    misused(
        &[
            ("initial", |r, _, _| {
                unused(r.input("i", InputRole::Initial, Shape::Scalar))
            }),
            ("cotangent", |r, _, _| {
                unused(r.input("c", InputRole::Cotangent, Shape::Scalar))
            }),
            ("tangent", |r, _, _| {
                unused(r.input("t", InputRole::Tangent, Shape::Scalar))
            }),
            ("input", |r, _, _| {
                let ty = retrograd_tape::Type::new(Shape::Scalar, Domain::Once);
                unused(r.apply(Op::Input { id: 7, ty }, &[]));
            }),
        ],
        &["cannot be recorded so"],
    );
    misused(
        &[
            ("spread", |r, m, _| {
                unused(r.apply(Op::Spread(Domain::BoundarySlots(0)), &[m]))
            }),
            ("state", |r, _, _| {
                unused(r.state("s", Shape::Scalar, 0, None))
            }),
        ],
        &["needs a delay other than 0"],
    );
}

#[test]
fn a_softmax_of_a_matrix_says_to_use_a_vector() {
    for norm in [false, true] {
        refused(
            |r| {
                let m = r.param("scores", Shape::Matrix(3, 4));
                let line = line!() + 1;
                unused(if norm { m.layer_norm(1.0) } else { m.softmax() });
                Some(line)
            },
            &["`scores` is [3,4]", "vector", "axis"],
        );
    }
}

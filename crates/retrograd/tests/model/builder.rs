use retrograd::{Cell, Error, Init, Shape, StateSpec};

/// The message of the mistake, which must name this file.
fn mistake(write: impl FnOnce(&retrograd::Builder)) -> String {
    let e = Cell::define("wrong", write).expect_err("the cell is wrong");
    e.to_string()
}

fn names(cell: &Cell) -> Vec<&str> {
    cell.parameter_specs().map(|p| p.name).collect()
}

#[test]
fn values_that_do_not_fit_are_named_with_their_shapes_and_this_line() {
    let line = line!() + 4;
    let message = mistake(|c| {
        let x = c.input("x", 3);
        let h = c.state("h", 5);
        let sum = x + h;
        c.next(h, sum.tanh());
    });
    for part in ["`x`", "[3]", "`h`", "[5]", &format!("{}:{line}", file!())] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
}

#[test]
fn a_mistake_inside_a_dense_names_the_users_line() {
    let line = line!() + 3;
    let message = mistake(|c| {
        let weights = c.input("weights", (2, 3));
        c.output("y", c.dense("gate", 4, [weights]));
    });
    for part in ["`weights`", "[2,3]", &format!("{}:{line}", file!())] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
}

#[test]
fn a_next_value_of_another_shape_names_state_and_line() {
    let line = line!() + 4;
    let message = mistake(|c| {
        let x = c.input("x", 3);
        let h = c.state("h", 5);
        c.next(h, x);
    });
    for part in ["`x`", "[3]", "`h`", "[5]", &format!("{}:{line}", file!())] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
}

#[test]
fn a_state_without_next_is_named_where_it_was_declared() {
    let line = line!() + 2;
    let message = mistake(|c| {
        c.state("memory", 5);
    });
    assert!(
        message.contains("`memory`") && message.contains("next"),
        "{message}"
    );
    assert!(
        message.contains(&format!("{}:{line}", file!())),
        "{message}"
    );
}

#[test]
fn a_recurrence_that_runs_both_ways_is_refused() {
    let message = mistake(|c| {
        let past = c.state("past", 2);
        let future = c.state_with("future", 2, StateSpec::delay(-1));
        c.next(past, (past + future).tanh());
        c.next(future, (past - future).tanh());
    });
    assert!(
        message.contains("past") || message.contains("future"),
        "{message}"
    );
}

#[test]
fn a_name_used_twice_is_refused() {
    let message = mistake(|c| {
        c.param("w", 2);
        c.param("w", 3);
    });
    assert!(
        message.contains("`w`") && message.contains(file!()),
        "{message}"
    );
}

#[test]
fn a_delay_of_zero_is_refused() {
    let message = mistake(|c| {
        c.state_with("h", 2, StateSpec::delay(0));
    });
    assert!(
        message.contains("`h`") && message.contains(file!()),
        "{message}"
    );
}

#[test]
fn a_mask_needs_a_probability() {
    for keep in [0.0, -0.5, 1.5, f64::NAN] {
        let message = mistake(|c| {
            c.mask("drop", 4, keep);
        });
        assert!(
            message.contains("`drop`") && message.contains(file!()),
            "{message}"
        );
    }
}

#[test]
fn an_initialisation_for_no_parameter_lists_those_there_are() {
    let message = mistake(|c| {
        let x = c.input("x", 2);
        c.dense("gate", 3, [x]);
        c.init("gate.h", Init::Zeros);
    });
    for part in ["`gate.h`", "`gate.x`", "`gate.bias`", file!()] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
}

#[test]
fn an_initialisation_that_the_shape_rules_out_is_refused() {
    let wrong = |shape: Shape, init| {
        let e = Cell::define("wrong", |c| {
            c.param_init("w", shape, init);
        });
        assert!(matches!(e, Err(Error::BadInit { .. })), "{e:?}");
    };
    wrong(Shape::Vector(3), Init::Identity);
    wrong(Shape::Scalar, Init::Orthogonal(1.0));
    wrong(Shape::Vector(3), Init::Uniform(-1.0));
    wrong(Shape::Vector(3), Init::Normal(f64::NAN));
    wrong(Shape::Vector(3), Init::Constant(f64::INFINITY));
}

#[test]
fn dense_names_its_matrices_after_its_operands() {
    let cell = Cell::define("names", |c| {
        let x = c.input("x", 2);
        let s = c.input("s", ());
        let h = c.state("h", 3);
        let h_next = c.next(h, c.dense("a", 3, [x, h]).tanh());
        c.dense("b", 3, [x, h_next, x, h_next.relu()]);
        c.dense_no_bias("c", 3, [s]);
    })
    .expect("the cell is right");
    let expected = [
        "a.x", "a.h", "a.bias", "b.x", "b.h", "b.x_2", "b.3", "b.bias", "c.s",
    ];
    assert_eq!(names(&cell), expected);
    let shapes: Vec<String> = cell
        .parameter_specs()
        .map(|p| p.shape.to_string())
        .collect();
    let expected = [
        "[3,2]", "[3,3]", "[3]", "[3,2]", "[3,3]", "[3,2]", "[3,3]", "[3]", "[3,1]",
    ];
    assert_eq!(shapes, expected);
    // The fan-in is that of the whole sum.
    let init = cell.parameter_specs().next().map(|p| p.init);
    assert_eq!(init, Some(Init::Uniform(1.0 / 5f64.sqrt())));
}

#[test]
fn a_new_state_is_still_called_by_its_name() {
    let cell = Cell::define("linear", |c| {
        let x = c.input("x", 2);
        let h = c.state("h", 2);
        let last = c.state("last", 2);
        let h = c.next(h, c.dense("update", 2, [x, h]));
        let x = c.next(last, x);
        c.dense("y", 1, [h, x, last]);
    })
    .expect("the cell is right");
    let expected = [
        "update.x",
        "update.h",
        "update.bias",
        "y.h",
        "y.x",
        "y.last",
        "y.bias",
    ];
    assert_eq!(names(&cell), expected);
}

#[test]
fn a_dense_of_nothing_is_its_bias() {
    let cell = Cell::define("bias", |c| {
        c.output("y", c.dense("y", 3, []));
        c.output("z", c.dense_no_bias("z", 3, []));
    })
    .expect("the cell is right");
    assert_eq!(names(&cell), ["y.bias"]);
}

#[test]
fn a_learned_beginning_is_a_parameter_of_zeros() {
    let cell = Cell::define("learned", |c| {
        let h = c.state_with("h", (2, 3), StateSpec::delay(3).init_learned());
        let s = c.static_input("s", (2, 3));
        let m = c.state_with("m", (2, 3), StateSpec::delay(-2).init(s.tanh()));
        c.next(h, h * 0.5);
        c.next(m, m * 0.5);
    })
    .expect("the cell is right");
    let p = cell.parameter_specs().next().expect("one parameter");
    assert_eq!(
        (p.name, p.shape, p.init),
        ("h.init", Shape::Matrix(2, 3), Init::Zeros)
    );
    assert_eq!(cell.parameter_count(), 6);
    // Both states begin with values of the cell's own, so there is nothing to give.
    assert_eq!(cell.tape().inputs().len(), 2);
}

#[test]
fn an_embedding_takes_a_row_of_its_table() {
    let cell = Cell::define("words", |c| {
        let word = c.input("word", 1);
        c.output("y", c.embedding("table", 10, 4, word));
    })
    .expect("the cell is right");
    let p = cell.parameter_specs().next().expect("one parameter");
    assert_eq!((p.name, p.shape), ("table", Shape::Matrix(10, 4)));
}

#[test]
fn a_cell_prints_itself() {
    let cell = Cell::define("leaky", |c| {
        let x = c.input("x", 2);
        let h = c.state("h", 2);
        c.output("y", c.next(h, h * 0.9 + x));
    })
    .expect("the cell is right");
    let text = cell.to_string();
    assert!(text.contains("leaky") && text.contains("delay 1"), "{text}");
    assert!(text.contains("# h'"), "{text}");
}

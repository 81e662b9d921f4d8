//! What a text says, the builder says: the same tape, with the same parameters and starts.

use retrograd::{
    Builder, Cell, CellText, Domain, Init, InputRole, Join, Shape, Stack, StateSpec, Var, zoo,
};

/// A tape without the names of values between inputs and outputs.
fn bare(cell: &Cell) -> Vec<String> {
    let line = |l: &str| match l.split_once("  # ") {
        Some((op, _)) if !op.contains("= input ") => op.to_owned(),
        _ => l.to_owned(),
    };
    cell.to_string().lines().map(line).collect()
}

#[track_caller]
fn same(text: &str, build: impl FnOnce(&Builder)) {
    let read = Cell::from_text(text, &[]).unwrap_or_else(|e| panic!("{e}"));
    let built = Cell::define(read.name(), build).unwrap_or_else(|e| panic!("{e}"));
    let lines = [bare(&read), bare(&built)];
    let other = lines[0].iter().zip(&lines[1]).find(|(a, b)| a != b);
    assert_eq!(other, None, "the first difference\n{text}");
    assert_eq!(lines[0].len(), lines[1].len(), "{text}");
    let specs = |cell: &Cell| {
        let all = cell.parameter_specs().map(|p| format!("{p:?}"));
        all.collect::<Vec<_>>()
    };
    assert_eq!(specs(&read), specs(&built));
    assert_eq!(read.keep_probabilities(), built.keep_probabilities());
    let ranges = |cell: &Cell| {
        let inputs = cell.tape().inputs().iter();
        inputs.map(|i| i.range.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ranges(&read), ranges(&built));
}

#[test]
fn filters_over_time_and_layers_per_head() {
    same(
        "cell c(x[6]; h[3, 4])
        y = conv[3](x)
        a = dense[3, 4](y)
        h' = tanh(a + dense_no_bias[3, 4](h, name=b))
        output z = h'",
        |c| {
            let x = c.input("x", 6);
            let h = c.state("h", (3, 4));
            let y = c.conv("y", 3, x).named("y");
            let a = c.dense_heads("a", 3, 4, [y]);
            let b = c.dense_heads_no_bias("b", 3, 4, [h]);
            c.output("z", c.next(h, (a + b).tanh()));
        },
    );
}

#[test]
fn a_layer_runs_backwards() {
    let gru = zoo::find("gru").unwrap();
    same(
        "use gru
        cell c(x[3])
        layer past = gru(x, H=4)
        layer future = gru(x, H=4, reverse=1)
        output both = concat(past, future)
        output summary = concat(last(past), first(future))",
        |c| {
            let x = c.input("x", 3);
            let past = gru.layer(c, "past", x, 4);
            let future = c.reversed(|c| gru.layer(c, "future", x, 4));
            c.output("both", Var::concat(&[past, future]));
            c.output("summary", Var::concat(&[past.last(), future.first()]));
        },
    );
    // Everything inside of it turns round: delays of more steps, filters, what a row has of its ends; twice is once.
    let text = "def inner(x) {
            state e[2] delay 3
            e' = 0.5 * e + conv[2](x, name=f)
            return e' - last(x)
        }
        def outer(x) = inner(x, name=i, reverse=1) + inner(x, name=j)
        cell c(x[2])
        a = outer(x, reverse=REVERSE)
        output y = a";
    let delays = |reverse: &str| {
        let cell = Cell::from_text(&text.replace("REVERSE", reverse), &[]).unwrap();
        let tape = cell.to_string();
        let ends = [
            "delay 3",
            "delay -3",
            "delay 1",
            "delay -1",
            "boundary 1",
            "boundary -1",
        ];
        ends.map(|end| tape.matches(&format!("{end} ")).count())
    };
    let [forwards, backwards] = ["0", "1"].map(delays);
    // One of each in either way, and the ends of three states and of `last`.
    assert_eq!(forwards, backwards);
    assert_eq!(&forwards[..4], [1, 1, 1, 1]);
    let inner = CellText::parse(
        "inner.cell",
        "cell inner(x[2]; e[2] delay 3)\ne' = 0.5 * e + x\noutput y = e' - last(x)",
    )
    .unwrap();
    same(
        "cell c(x[2])
        state a.e[2] delay -3
        a.e' = 0.5 * a.e + x
        b = a.e' - first(x)
        output y = b",
        |c| {
            let x = c.input("x", 2);
            c.output("y", c.reversed(|c| c.layer("a", &inner, [x], &[])));
        },
    );
    same(
        "cell c(x[2]; e[2] delay -2)\ne' = 0.5 * e + x\noutput y = e'",
        |c| {
            let x = c.input("x", 2);
            let next = c.reversed(|c| {
                let e = c.state_with("e", 2, StateSpec::delay(2));
                c.next(e, 0.5 * e + x)
            });
            c.output("y", next);
        },
    );
}

#[test]
fn parts_powers_and_indices() {
    same(
        "cell c(x[4] in 0..1, i; h[2, 3])
        M = 0.5 * h
        h' = M
        output a = roll(x, 1) + roll(x, -6)
        output b = roll(M, 1, axis=0) * roll(M, 2)
        output c = x^3 + x^-2 + x^0
        output d = gather(x, i) + gather(M, argmax(M[0]), axis=1)[0]
        output e = one_hot(i, 5)
        output f = argmax(M, axis=0)",
        |c| {
            let x = c.input("x", 4).bounded(0.0..1.0);
            let i = c.input("i", ());
            let h = c.state("h", (2, 3));
            let m = 0.5 * h;
            c.next(h, m);
            c.output("a", x.roll(1, 0) + x.roll(-6, 0));
            c.output("b", m.roll(1, 0) * m.roll(2, 1));
            c.output("c", x.powi(3) + x.powi(-2) + x.powi(0));
            let element = x.gather(i);
            let row = m.slice(0, 1).reshape(Shape::Vector(3));
            let column = m.gather_axis(row.argmax(), 1);
            c.output("d", element + column.slice(0, 1).reshape(Shape::Scalar));
            c.output("e", i.one_hot(5));
            c.output("f", m.argmax_axis(0));
        },
    );
}

#[test]
fn shared_layers_and_rounds() {
    same(
        "cell c(x[3], z[3]) where N=3
        layer f = dense[N]
        a = f(x)
        b = f(z)
        for k in 0..2 carrying y = a * b {
            state h[N]
            h' = 0.5 * h + dense(y, name=g)
            y = y + h' * (k + 1)
        }
        output y
        loss sum(square(f.x)) + sum(square(g.1.y))",
        |c| {
            let (x, z) = (c.input("x", 3), c.input("z", 3));
            let [a, b] = [x, z].map(|x| c.share("f", |c| c.dense("", 3, [x])));
            let mut y = (a * b).named("y");
            for k in 0..2 {
                let h = c.state(&format!("h.{k}"), 3);
                let half = 0.5 * h;
                let layer = match k {
                    0 => c.dense("g.0", 3, [y]),
                    _ => {
                        let own = y.named("y");
                        c.dense("g.1", 3, [own])
                    }
                };
                let next = c.next(h, half + layer);
                let [k, one] = [f64::from(k), 1.0].map(|v| c.constant(v, ()));
                y = y + next * (k + one);
            }
            c.output("y", y);
            let [f, g] = ["f.x", "g.1.y"].map(|name| c.parameter(name).unwrap());
            c.loss(f.square().sum() + g.square().sum());
        },
    );
}

#[test]
fn domains_losses_and_starts() {
    same(
        "cell c(x[3], static size over once; W[3, 3] init learned)
        param decay[3] init ln(uniform(1, 16))
        mask keep[3] keep 0.5 over row
        W' = 0.9 * W - 0.1 * gradient(mean(square(W @ x)), of: W)
        y = (W' @ x) * keep * decay * size
        output y
        target label[3] over row
        target next[3]
        weight_input certain over row
        weight_input valid
        loss mean(square(y - next))
        loss mean(square(mean(y, to=row) - label)) weight certain
        loss 0.001 * sum(square(decay))
        weight valid",
        |c| {
            let x = c.input("x", 3);
            let size = c.input_over("size", InputRole::Static, (), Domain::Once);
            let w = c.state_with("W", (3, 3), StateSpec::delay(1).init_learned());
            let text = CellText::parse(
                "p",
                "cell p()\nparam decay[3] init ln(uniform(1, 16))\noutput y = decay",
            );
            let start = text
                .unwrap()
                .cell(&[])
                .unwrap()
                .parameter_specs()
                .next()
                .unwrap()
                .init;
            assert!(matches!(start, Init::Expression(_)));
            let decay = c.param_init("decay", 3, start);
            let keep = c.mask_over("keep", 3, 0.5, Domain::Row);
            let kept = 0.9 * w;
            let rate = c.constant(0.1, ());
            let [slope] = w.matvec(x).square().mean().gradient([w]);
            let next = c.next(w, kept - rate * slope);
            let y = next.matvec(x) * keep * decay * size;
            c.output("y", y);
            let label = c.input_over("label", InputRole::Target, 3, Domain::Row);
            let next = c.target("next", 3);
            let certain = c.input_over("certain", InputRole::Weight, (), Domain::Row);
            let valid = c.weight_input("valid");
            c.loss((y - next).square().mean());
            c.weighted_loss((y.mean_to(Domain::Row) - label).square().mean(), certain);
            let small = c.constant(0.001, ());
            c.loss(small * decay.square().sum());
            c.weight(valid);
        },
    );
}

#[test]
fn functions_are_scopes_and_cells_are_layers() {
    fn gate<'t>(c: &'t Builder, x: Var<'t>, h: Var<'t>) -> Var<'t> {
        c.dense("", 4, [x, h]).sigmoid()
    }
    fn mixed<'t>(c: &'t Builder, x: Var<'t>) -> Var<'t> {
        let gain = c.param_init("gain", 4, Init::Constant(1.0));
        gain * c.dense("inner", 4, [x]).tanh()
    }
    let lstm = zoo::find("lstm").unwrap();
    same(
        "use lstm
        def gate(x, h) = sigmoid(dense(x, h))
        def mixed[N](x) {
            param gain[N] init 1
            inner = tanh(dense[N](x))
            return gain * inner
        }
        cell c(x[3]; h[4])
        keep = gate(x, h)
        new = mixed[4](x)
        layer top = lstm(new, H=5)
        h' = keep * h + (1 - keep) * new
        output y = top
        output z = h'",
        |c| {
            let (x, h) = (c.input("x", 3), c.state("h", 4));
            let keep = c.scope("keep", |c| gate(c, x, h));
            let new = c.scope("new", |c| mixed(c, x));
            let top = lstm.layer(c, "top", new, 5);
            let next = c.next(h, keep * h + (1.0 - keep) * new);
            c.output("y", top);
            c.output("z", next);
        },
    );
}

#[test]
fn gradients_of_another_value_and_what_is_along_axes() {
    same(
        "cell c(x[6]; C[2, 3, 3])
        q = reshape(x, [2, 3])
        spike = with_gradient(0 < q, of: sigmoid(4 * q))
        f = softmax(cumsum(spike), axis=0)
        D = reshape(clip_gradient(f, 1), [2, 3, 1]) * C
        C' = D + einsum(\"hi,hj->hij\", q, f)
        z = complex_mul(polar(q[0], q[1]), complex_conj(q))
        output y = group_norm(reshape(einsum(\"hij,hj->hi\", C', q), [6]), groups=2)
        output z = complex_abs(z) + logsumexp(q, axis=0) + rms_norm(mean(C', axis=1), axis=1)[0]",
        |c| {
            let x = c.input("x", 6);
            let state = c.state("C", (2, 3, 3));
            let q = x.reshape(Shape::Matrix(2, 3));
            let zero = c.constant(0.0, ());
            let spike = zero.lt(q).with_gradient((4.0 * q).sigmoid());
            let f = spike.cumsum(1).softmax_axis(0);
            let d = f.clip_gradient(1.0).reshape(Shape::Tensor(2, 3, 1)) * state;
            let next = c.next(state, d + q.einsum("hi,hj->hij", f));
            let row = |k| q.slice(k, 1).reshape(Shape::Vector(3));
            let z = row(0).polar(row(1)).complex_mul(q.complex_conj());
            let read = next.einsum("hij,hj->hi", q).reshape(Shape::Vector(6));
            c.output("y", read.group_norm(2, 1e-5));
            let sum = z.complex_abs() + q.logsumexp_axis(0);
            let mean = next.mean_axis(1).rms_norm_axis(1, 1e-5);
            let mean = mean.slice(0, 1).reshape(Shape::Vector(3));
            c.output("z", sum + mean);
        },
    );
}

#[test]
fn a_stack_is_one_line() {
    let [gru, lstm] = ["gru", "lstm"].map(|name| zoo::find(name).unwrap());
    same(
        "use lstm
        cell c(x[3])
        layer y = stack[3](lstm, x, H=3, residual=1, dropout=0.25)
        output y
        output of_row = last(y)",
        |c| {
            let stack = Stack::new(3).residual().dropout(0.25);
            let y = c.stack("y", c.input("x", 3), stack, |c, x| lstm.layer(c, "", x, 3));
            c.output("y", y.steps());
            c.output("of_row", y.last());
        },
    );
    // The first layer changes the width, and has no link; masks of a row; a name that the call gives.
    same(
        "use gru
        cell c(x[5])
        wide = 2 * stack[2](gru, x, H=4, residual=1, dropout=0.5, variational=1, bidirectional=concat, name=rnn)
        output wide",
        |c| {
            let stack = Stack::new(2).residual().variational_dropout(0.5);
            let stack = stack.bidirectional(Join::Concat);
            let all = c.stack("rnn", c.input("x", 5), stack, |c, x| gru.layer(c, "", x, 4));
            c.output("wide", 2.0 * all.steps());
        },
    );
    same(
        "use gru
        cell c(x[2]) where L=2
        layer both = stack[L](gru, x, H=4, residual=1, bidirectional=sum, project=2)
        output read = mean(both, to=row)",
        |c| {
            let stack = Stack::new(2).residual().bidirectional(Join::Sum);
            let all = c.stack("both", c.input("x", 2), stack.project(2), |c, x| {
                gru.layer(c, "", x, 4)
            });
            c.output("read", all.mean());
        },
    );
    // A function of the file, from the end of a row, in a repetition; and none at all.
    same(
        "def leak[n](x) {
            state s[n]
            param W[n, n]
            s' = 0.5 * s + W @ x
            return s'
        }
        cell c(x[2])
        for k in 0..2 carrying y = x {
            layer a = stack[2](leak, y, n=2, reverse=1)
            y = a
        }
        output y
        output z = stack[0](leak, x, n=9)",
        |c| {
            let x = c.input("x", 2);
            let mut y = x;
            for k in 0..2 {
                let name = format!("a.{k}");
                y = c.stack(&name, y, Stack::new(2), backwards_leak).steps();
            }
            c.output("y", y);
            c.output("z", x);
        },
    );
}

fn leak_of<'t>(c: &'t Builder, x: Var<'t>) -> Var<'t> {
    let s = c.state("s", 2);
    let w = c.param("W", (2, 2));
    c.next(s, 0.5 * s + w.matvec(x))
}

#[test]
fn a_stack_says_what_is_wrong_and_where() {
    let of = |line: &str| {
        let text = format!("use gru\ncell c(x[2])\nlayer y = {line}\noutput y");
        let e = Cell::from_text(&text, &[]).unwrap_err().to_string();
        assert!(e.contains(":3:"), "{e}");
        e
    };
    for (line, expected) in [
        ("stack(gru, x, H=2)", "a stack has a number of layers"),
        (
            "stack[2](gru)",
            "takes a cell and what its first layer reads",
        ),
        ("stack[2](gur, x)", "did you mean `gru`?"),
        ("stack[2](lstm, x)", "`use lstm`"),
        ("stack[2](2 * x, x)", "a cell or a function by its name"),
        ("stack[2](gru, x, K=3)", "neither a stack nor `gru` has `K`"),
        (
            "stack[2](gru, x, H=2, dropout=1)",
            "at least 0 and less than 1",
        ),
        ("stack[2](gru, x, H=2, residual=2)", "expected 0 or 1"),
        (
            "stack[2](gru, x, H=2, bidirectional=1)",
            "expected concat or sum",
        ),
        ("stack[2](gru, x, H=2, project=1, project=2)", "given twice"),
        ("stack[2.5](gru, x, H=2)", "2.5 is no size"),
    ] {
        let e = of(line);
        assert!(e.contains(expected), "{line}\n{e}");
    }
}

#[test]
fn a_stack_in_one_text_keeps_its_cell() {
    // Both texts define `leak`; in one text, one of them needs another name, where it is stacked, too.
    let leak =
        "def leak(x) = 0.5 * x\ncell half(x[I]; h[I]) where I=1\nh' = h + leak(x)\noutput h'\n";
    let main = "use half from \"half.cell\"\ndef leak(x) {\nstate s[2]\ns' = s + half(x)\nreturn s'\n}\ncell c(x[2])\nlayer y = stack[2](leak, x)\nlayer z = stack[2](half, y)\noutput z";
    let dir = std::env::temp_dir().join(format!("retrograd-stack-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (name, text) in [("half.cell", leak), ("main.cell", main)] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let read = CellText::open(dir.join("main.cell")).unwrap();
    let alone = read.cell(&[]).unwrap();
    let inlined = read.inlined(&[]).unwrap();
    let again = Cell::from_text(&inlined, &[]).unwrap_or_else(|e| panic!("{inlined}\n{e}"));
    assert_eq!(bare(&alone), bare(&again));
    std::fs::remove_dir_all(&dir).unwrap();
}

fn backwards_leak<'t>(c: &'t Builder, x: Var<'t>) -> Var<'t> {
    c.reversed(|c| leak_of(c, x))
}

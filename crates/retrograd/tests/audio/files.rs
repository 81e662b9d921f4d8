//! WAV files byte by byte, and recordings that do not go together.

use retrograd::audio::{Clip, Format, Pair};
use retrograd::random::{RngExt, stream};

use super::{Place, clip};

/// A WAV file by the book: tag 1 for whole numbers, 3 for floating point.
fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels * bits.div_ceil(8);
    let mut out = b"RIFF".to_vec();
    out.extend((36 + data.len() as u32).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0");
    out.extend(tag.to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend((rate * u32::from(block)).to_le_bytes());
    out.extend(block.to_le_bytes());
    out.extend(bits.to_le_bytes());
    out.extend(b"data");
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out
}

#[test]
fn samples_of_every_format_are_read_and_written_again() {
    let place = Place::new("formats");
    let floats: Vec<u8> = [0.0_f32, -1.0, 1.5]
        .iter()
        .flat_map(|s| s.to_le_bytes())
        .collect();
    /// Tag, bits, bytes, what they are, and the form.
    type Case<'a> = (u16, u16, &'a [u8], [f32; 3], Format);
    let forms: [Case<'_>; 5] = [
        (1, 8, &[128, 0, 192], [0.0, -1.0, 0.5], Format::Int(8)),
        (
            1,
            16,
            &[0, 0, 0, 0x80, 0, 0x40],
            [0.0, -1.0, 0.5],
            Format::Int(16),
        ),
        (
            1,
            24,
            &[0, 0, 0, 0, 0, 0x80, 0, 0, 0x40],
            [0.0, -1.0, 0.5],
            Format::Int(24),
        ),
        (
            1,
            32,
            &[0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0x40],
            [0.0, -1.0, 0.5],
            Format::Int(32),
        ),
        (3, 32, &floats, [0.0, -1.0, 1.5], Format::Float),
    ];
    for (tag, bits, data, samples, format) in forms {
        let path = place.file("in.wav", &wav(tag, 1, 22_050, bits, data));
        let clip = Clip::read(&path).unwrap();
        assert_eq!((clip.samples(), clip.format()), (&samples[..], format));
        assert_eq!(
            (clip.rate(), clip.channels(), clip.frames()),
            (22_050, 1, 3)
        );
        let again = place.0.join("out.wav");
        assert_eq!(clip.write(&again).unwrap(), 0);
        assert_eq!(Clip::read(&again).unwrap(), clip);
    }
    let stereo = wav(1, 2, 8000, 16, &[1, 0, 2, 0, 3, 0, 4, 0]);
    let clip = Clip::read(place.file("stereo.wav", &stereo)).unwrap();
    assert_eq!(clip.frame(1), [3.0 / 32768.0, 4.0 / 32768.0]);
    let loud = Clip::new(8000, 1, vec![2.0, -2.0, 0.0])
        .unwrap()
        .with_format(Format::Int(16));
    assert_eq!(loud.write(place.0.join("loud.wav")).unwrap(), 2);
    let cut = Clip::read(place.0.join("loud.wav")).unwrap();
    assert_eq!(cut.samples(), [32767.0 / 32768.0, -1.0, 0.0]);
}

#[test]
fn files_that_are_broken_are_told_and_never_end_the_program() {
    let place = Place::new("broken");
    let said = |bytes: &[u8]| {
        Clip::read(place.file("x.wav", bytes))
            .unwrap_err()
            .to_string()
    };
    assert!(said(b"").contains("cannot be read"));
    assert!(said(b"date,sold\n1,2\n").contains("no WAV file"));
    assert!(said(&wav(1, 1, 8000, 16, &[])).contains("0 samples"));
    let float = |s: f32| {
        wav(
            3,
            1,
            8000,
            32,
            &[0.5_f32.to_le_bytes(), s.to_le_bytes()].concat(),
        )
    };
    let nan = said(&float(f32::NAN));
    assert!(
        nan.contains("channel 1 is NaN") && nan.contains("0.0001 s"),
        "{nan}"
    );
    assert!(said(&float(f32::INFINITY)).contains("is inf"));
    let whole = wav(1, 2, 8000, 16, &[7; 4000]);
    assert!(
        said(&whole[..1001]).contains("ends before"),
        "{}",
        said(&whole[..1001])
    );
    assert!(said(&wav(3, 1, 8000, 64, &[0; 64])).contains("16 or 24 bits"));
    assert!(
        Clip::read(&place.0)
            .unwrap_err()
            .to_string()
            .contains("directory")
    );
    // Bytes that were changed at random give samples or an error.
    let mut rng = stream(1, "test", "bytes");
    for _ in 0..2000 {
        let mut bytes = whole[..200].to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        if let Ok(clip) = Clip::read(place.file("y.wav", &bytes)) {
            assert!(clip.samples().iter().all(|s| s.is_finite()));
        }
    }
}

#[test]
fn recordings_that_do_not_go_together_are_refused() {
    let said = |dry: Clip, wet: Clip| Pair::new(dry, wet).unwrap_err().to_string();
    let of = |rate, channels, samples| clip(rate, channels, samples);
    assert!(
        said(of(44_100, 1, 90), of(48_000, 1, 90)).contains("44100 Hz and the wet one at 48000 Hz")
    );
    assert!(said(of(8000, 2, 90), of(8000, 1, 90)).contains("2 channels and the wet one 1"));
    assert!(said(of(8000, 1, 90), of(8000, 1, 30)).contains("same take"));
    let silence = || Clip::new(8000, 1, vec![0.0; 90]).unwrap();
    assert!(said(silence(), of(8000, 1, 90)).contains("dry recording is silent"));
    assert!(said(of(8000, 1, 90), silence()).contains("wet recording is silent"));
    let pair = Pair::new(of(8000, 1, 90), of(8000, 1, 100)).unwrap();
    assert!(pair.notes()[0].contains("10 samples longer") && pair.frames() == 90);
    // The end of it is silent, so that a ratio to it means nothing.
    let mut ends = of(8000, 1, 90).samples().to_vec();
    ends[60..].fill(0.0);
    let pair = Pair::new(of(8000, 1, 90), Clip::new(8000, 1, ends).unwrap()).unwrap();
    assert!(
        pair.split(0.2)
            .unwrap_err()
            .to_string()
            .contains("silent in its last 18")
    );
    assert!(pair.split(0.5).is_ok() && pair.split(0.0).is_err() && pair.split(f64::NAN).is_err());
    // Three in a row at full scale, of one sign.
    let square = Clip::new(8000, 1, vec![1.0, 1.0, 0.2, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0]).unwrap();
    assert_eq!(square.clipped_stretches(), 1);
    let pair = Pair::new(clip(8000, 1, 9), square).unwrap();
    assert!(
        pair.notes()[0].contains("full scale 1 time"),
        "{:?}",
        pair.notes()
    );
}

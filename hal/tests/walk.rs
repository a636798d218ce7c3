//! The ways through a step and through a page image, against what the documentation says of them.

use agentos_hal::walk::{self, SpanParts};
use agentos_hal::{
    KvType, Mass, ModelShape, PAGE_TOKENS, PageId, Pairing, Reg, Rope, RopeScaling, Row, Segment, Span, Tap,
    Want, page,
};

const SHAPE: ModelShape = ModelShape {
    layers: 2,
    width: 12,
    ffn: 40,
    heads: 6,
    kv_heads: 3,
    head_dim: 4,
    vocab: 33,
    context: 64,
    norm_eps: 0.0,
    rope: Rope {
        dims: 4,
        base: 10_000.0,
        pairing: Pairing::Adjacent,
        scaling: RopeScaling::None,
        factors: false,
    },
    tied_embedding: true,
};

const SPANS: [Span; 3] =
    [Span { rows: 2, segments: 2 }, Span { rows: 0, segments: 0 }, Span { rows: 1, segments: 1 }];

const SEGMENTS: [Segment; 3] =
    [Segment { base: 0, len: 9 }, Segment { base: 20, len: 2 }, Segment { base: 5, len: 1 }];

const PAGES: [PageId; 4] = [PageId(7), PageId(3), PageId(5), PageId(9)];

fn row(address: u32, page: u32, place: u8, want: Want, expose: bool) -> Row {
    Row { token: 0, address, page: PageId(page), place, offset: 0, want, mask: None, expose }
}

fn rows() -> [Row; 3] {
    [
        row(8, 3, 0, Want::Nothing, true),
        row(21, 5, 1, Want::Candidates, false),
        row(5, 9, 0, Want::Score(4), true),
    ]
}

#[test]
fn spans_tile_rows_segments_and_pages() {
    let parts: Vec<SpanParts> = walk::spans(&SPANS, &SEGMENTS).collect();
    let expected = [
        SpanParts { rows: 0..2, segments: 0..2, pages: 0..3 },
        SpanParts { rows: 2..2, segments: 2..2, pages: 3..3 },
        SpanParts { rows: 2..3, segments: 2..3, pages: 3..4 },
    ];
    assert_eq!(parts, expected);
}

#[test]
fn a_row_sees_its_span_up_to_itself_in_address_order() {
    let rows = rows();
    let views: Vec<_> = walk::views(&rows, &SPANS, &SEGMENTS, &PAGES).collect();
    assert_eq!(views.iter().map(|view| view.row).collect::<Vec<_>>(), [0, 1, 2]);
    let seen = |view: usize| -> Vec<(usize, u32, u32, u32, usize)> {
        let tokens = views[view].tokens();
        tokens.map(|one| (one.segment, one.base, one.offset, one.page.0, one.place)).collect()
    };
    let mut whole: Vec<_> = (0..8).map(|i| (0, 0, i, 7, i as usize)).collect();
    whole.push((0, 0, 8, 3, 0));
    assert_eq!(seen(0), whole, "the second segment lies behind the first row");
    whole.extend([(1, 20, 0, 5, 0), (1, 20, 1, 5, 1)]);
    assert_eq!(seen(1), whole);
    assert_eq!(seen(2), [(2, 5, 0, 9, 0)], "another span's segments are not seen");
    let counts: Vec<_> = views[0].segments().map(|(index, _, seen)| (index, seen)).collect();
    assert_eq!(counts, [(0, 9), (1, 0)]);
}

#[test]
fn a_segment_is_seen_from_its_base_to_its_end() {
    let segment = Segment { base: 20, len: 3 };
    assert_eq!([0, 19, 20, 22, 23, u32::MAX].map(|address| segment.visible(address)), [0, 0, 1, 3, 3, 3]);
    assert_eq!(Segment { base: 0, len: u32::MAX }.visible(u32::MAX), u32::MAX);
}

#[test]
fn rows_are_listed_in_the_order_of_the_report() {
    let rows = rows();
    assert_eq!(walk::wanted(&rows).map(|(number, _)| number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(walk::exposed(&rows).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(walk::begun(&rows).collect::<Vec<_>>(), [PageId(3), PageId(9)]);
    let taps = [Tap::Layer(1, Reg::Key), Tap::Final(Reg::Up), Tap::Layer(0, Reg::Hidden)];
    let places: Vec<_> = walk::taps(&taps, &SHAPE).map(|(_, place)| place).collect();
    assert_eq!(places, [0..12, 12..52, 52..64]);
    assert_eq!(walk::exposed_width(&taps, &SHAPE), 64);
}

/// Every element of an image is one key's or one value's, keys with the tokens innermost.
#[test]
fn elements_fill_an_image() {
    let elements = page::image_bytes(&SHAPE, KvType::F16) / 2;
    let mut found = Vec::new();
    for (layer, head) in
        (0..SHAPE.layers).flat_map(|layer| (0..SHAPE.kv_heads).map(move |head| (layer, head)))
    {
        let dims = 0..SHAPE.head_dim as usize;
        let places = 0..PAGE_TOKENS;
        for (dim, place) in dims.clone().flat_map(|dim| places.clone().map(move |place| (dim, place))) {
            found.push(page::key_element(&SHAPE, layer, head, place, dim));
        }
        for (place, dim) in places.flat_map(|place| dims.clone().map(move |dim| (place, dim))) {
            found.push(page::value_element(&SHAPE, layer, head, place, dim));
        }
    }
    assert_eq!(found, (0..elements).collect::<Vec<_>>());
}

/// What nobody's tokens are in is zero, and nothing else is changed.
#[test]
fn places_behind_the_tokens_are_cleared() {
    for (kv, tokens) in [(KvType::F16, 0), (KvType::F32, 3), (KvType::F16, PAGE_TOKENS)] {
        let mut image = vec![0xab; page::image_bytes(&SHAPE, kv)];
        page::clear_behind(SHAPE.head_dim as usize, kv, &mut image, tokens);
        for (layer, head) in
            (0..SHAPE.layers).flat_map(|layer| (0..SHAPE.kv_heads).map(move |head| (layer, head)))
        {
            for (place, dim) in
                (0..PAGE_TOKENS).flat_map(|place| (0..SHAPE.head_dim as usize).map(move |dim| (place, dim)))
            {
                let key = page::key_element(&SHAPE, layer, head, place, dim);
                let value = page::value_element(&SHAPE, layer, head, place, dim);
                let wanted = if place < tokens { 0xab } else { 0 };
                for element in [key, value] {
                    let bytes = &image[element * kv.bytes()..][..kv.bytes()];
                    assert!(bytes.iter().all(|&byte| byte == wanted), "{tokens} tokens, place {place}");
                }
            }
        }
    }
}

#[test]
fn elements_are_written_and_read() {
    for (kv, stored) in [(KvType::F16, 0.333_251_95), (KvType::F32, 1.0 / 3.0)] {
        let mut bytes = [0; 12];
        kv.write(&mut bytes, 1, 1.0 / 3.0);
        assert_eq!(kv.read(&bytes, 1), stored);
        assert_eq!([kv.read(&bytes, 0), kv.read(&bytes, 2)], [0.0, 0.0]);
    }
}

#[test]
fn mass_stays_at_the_largest() {
    let mut mass = Mass(u64::MAX - 1);
    mass += Mass::from_share(0.5);
    assert_eq!(mass, Mass(u64::MAX));
}

//! What is read of PDFs.

mod rig;

use std::path::Path;

use agentos_documents::{BlockKind, Document, DocumentError, Limits, Place, read};
use rig::{page, pdf};

fn document(bytes: &[u8]) -> Result<Document, DocumentError> {
    read(bytes, Path::new("x.pdf"), &Limits::DEFAULT)
}

#[test]
fn lines_are_paragraphs_with_their_page() {
    let first = page(&[
        (24, 720, "The Light at Gull Point"),
        (11, 680, "The lighthouse was built in 1871 by the Cor-"),
        (11, 666, "vina company, of granite \\(from the island\\)."),
        (11, 640, "It is 38 meters tall."),
    ]);
    let second = page(&[(11, 720, "A second page.")]);
    let found = document(&pdf(&[("", first), ("", second)])).unwrap();
    let blocks: Vec<_> =
        found.blocks.iter().map(|block| (block.kind, block.text.as_str(), block.place.clone())).collect();
    let long = "The lighthouse was built in 1871 by the Corvina company, of granite \\(from the island\\).";
    assert_eq!(
        blocks,
        [
            (BlockKind::Heading(1), "The Light at Gull Point", Place::Page(1)),
            (BlockKind::Paragraph, long, Place::Page(1)),
            (BlockKind::Paragraph, "It is 38 meters tall.", Place::Page(1)),
            (BlockKind::Paragraph, "A second page.", Place::Page(2)),
        ]
    );
}

#[test]
fn words_are_apart_where_gaps_are_and_tables_are_rows() {
    let stream = b"BT /F1 10 Tf 72 700 Td [(Wo) 20 (rds) -300 (apart)] TJ ET
        BT /F1 10 Tf 1 0 0 1 72 660 Tm (Name) Tj 1 0 0 1 300 660 Tm (Height) Tj ET
        BT /F1 10 Tf 1 0 0 1 72 646 Tm (Gull Point) Tj 1 0 0 1 300 646 Tm (38 m) Tj ET";
    let found = document(&pdf(&[("", stream.to_vec())])).unwrap();
    let texts: Vec<_> = found.blocks.iter().map(|block| (block.kind, block.text.as_str())).collect();
    assert_eq!(
        texts,
        [
            (BlockKind::Paragraph, "Words apart"),
            (BlockKind::Row, "Name | Height"),
            (BlockKind::Row, "Gull Point | 38 m"),
        ]
    );
}

#[test]
fn what_stands_between_words_and_cells_counts_as_text() {
    let cells = b"BT /F1 10 Tf 1 0 0 1 72 700 Tm (a) Tj 1 0 0 1 300 700 Tm (b) Tj ET".to_vec();
    let pages = pdf(&[("", cells), ("", page(&[(11, 700, "c")]))]);
    let read = |text_bytes| read(&pages, Path::new("x.pdf"), &Limits { text_bytes, ..Limits::DEFAULT });
    for limit in 0..6 {
        assert_eq!(read(limit), Err(DocumentError::TooLong { limit }), "{limit}");
    }
    let found = read(6).unwrap();
    assert_eq!(found.blocks.iter().map(|block| &*block.text).collect::<Vec<_>>(), ["a | b", "c"]);
}

#[test]
fn what_is_no_pdf_says_so() {
    assert_eq!(document(b"%PDF-1.7\nnothing of the kind"), Err(DocumentError::Broken));
    let empty = pdf(&[("", b"".to_vec())]);
    assert_eq!(document(&empty), Err(DocumentError::Empty));
    let many: Vec<_> = (0..3).map(|_| ("", page(&[(11, 700, "x")]))).collect();
    let limits = Limits { pages: 2, ..Limits::DEFAULT };
    let refused = read(&pdf(&many), Path::new("x.pdf"), &limits);
    assert_eq!(refused, Err(DocumentError::Pages { found: 3, limit: 2 }));
}

#[test]
fn a_page_that_draws_itself_comes_to_an_end() {
    let form = "/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>/Font<</F1 3 0 R>>>>";
    let stream = b"BT /F1 10 Tf 72 700 Td (again) Tj ET /X Do".to_vec();
    let found = document(&pdf(&[(form, stream)])).unwrap();
    assert!(found.blocks[0].text.starts_with("again"));
}

//! PDFs as bytes, written by the tests.

/// A PDF of pages with these content streams, in Helvetica as `/F1`. Each stream comes with the entries that its
/// dictionary has beside the length.
pub fn pdf(pages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let kids: Vec<String> = (0..pages.len()).map(|page| format!("{} 0 R", 4 + 2 * page)).collect();
    let mut objects: Vec<Vec<u8>> = vec![
        b"<</Type/Catalog/Pages 2 0 R>>".to_vec(),
        format!("<</Type/Pages/Kids[{}]/Count {}>>", kids.join(" "), pages.len()).into_bytes(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>".to_vec(),
    ];
    for (page, (entries, stream)) in pages.iter().enumerate() {
        let content = 5 + 2 * page;
        objects.push(
            format!(
                "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {content} 0 R/Resources<</Font<</F1 3 0 R>>/XObject<</X {content} 0 R>>>>>>"
            )
            .into_bytes(),
        );
        let head = format!("<</Length {}{entries}>>stream\n", stream.len());
        objects.push([head.as_bytes(), stream, b"\nendstream"].concat());
    }
    written(&objects)
}

/// A page of lines, each with its font's size and its height on the page.
pub fn page(lines: &[(u32, u32, &str)]) -> Vec<u8> {
    let line = |&(size, y, text): &(u32, u32, &str)| {
        let text = text.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
        format!("BT /F1 {size} Tf 1 0 0 1 72 {y} Tm ({text}) Tj ET\n")
    };
    lines.iter().map(line).collect::<String>().into_bytes()
}

fn written(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    let mut offsets = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        offsets.push(bytes.len());
        bytes.extend(format!("{} 0 obj\n", index + 1).bytes());
        bytes.extend(object);
        bytes.extend(b"\nendobj\n");
    }
    let xref = bytes.len();
    bytes.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for offset in offsets {
        bytes.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    let size = objects.len() + 1;
    bytes.extend(format!("trailer<</Size {size}/Root 1 0 R>>\nstartxref\n{xref}\n%%EOF\n").bytes());
    bytes
}

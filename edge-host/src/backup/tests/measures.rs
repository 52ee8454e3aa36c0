//! `cargo test -p locum-edge --lib -- --ignored --nocapture measure_`

use super::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn measure_backup() {
    let kept = kept();
    let row = |number: u64| {
        // Half of it compresses, as text does.
        let mut bytes = vec![0; 4_000];
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for byte in bytes.iter_mut().take(2_000) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        Value::Blob(bytes)
    };
    let mut database = testing::database(kept.folder.path());
    database("BEGIN", &[]).unwrap();
    for number in 0..25_000 {
        database("INSERT INTO a (x) VALUES (?)", &[row(number)]).unwrap();
    }
    database("COMMIT", &[]).unwrap();
    let (mut chain, taken) = kept.whole().await;
    let bytes = u64::from(taken.manifest.pages) * u64::from(taken.manifest.page_bytes);
    let megabytes = bytes as f64 / 1e6;
    println!("{megabytes:.0} MB, {:.0} MB sealed", taken.manifest.sealed_bytes as f64 / 1e6);
    println!("whole backup {:.0} MB/s", megabytes / taken.seconds);
    let began = Instant::now();
    kept.brought().await.unwrap();
    println!("restore with all checks {:.0} MB/s", megabytes / began.elapsed().as_secs_f64());
    database("UPDATE a SET x = zeroblob(4000) WHERE id % 100 = 0", &[]).unwrap();
    let began = Instant::now();
    let bytes = chain.ship(&kept.source).await.unwrap();
    println!("segment of 1 % of the rows: {bytes} bytes in {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn measure_documents() {
    let kept = kept();
    for number in 0..200_u32 {
        let content = number.to_be_bytes().repeat(1 << 18);
        kept.store_document(&format!("d-{number}"), &content).await;
    }
    let (_, taken) = kept.whole().await;
    println!("200 documents of 1 MiB: {:.0} MB/s into the place", 210.0 / taken.seconds);
    let (_, taken) = kept.whole().await;
    println!("once they are there: {:.2} s", taken.seconds);
    let began = Instant::now();
    assert_eq!(kept.brought().await.unwrap().documents, 200);
    println!("back, opened and compared: {:.0} MB/s", 210.0 / began.elapsed().as_secs_f64());
}

//! draft
fn main(){}

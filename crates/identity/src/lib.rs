//! Who a node is: ids, certificates, join tokens, signing keys.

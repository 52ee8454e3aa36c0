//! Somebody else vouches for staff: an OpenID provider that the clinic's administrator names.
//!
//! Whose account it is there is not typed in: somebody who is signed in here signs in there too, and from then on the two
//! are one. What comes after their word is what comes after a password, unless they say how they asked for a second factor.

pub(crate) mod identities;
pub(crate) mod provider;
pub(crate) mod question;
pub(crate) mod sign_in;

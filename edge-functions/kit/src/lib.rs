//! What the edge functions share: request context, policy, errors, database.

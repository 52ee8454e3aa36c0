//! The vocabulary of the control plane: regions, roles, nodes, the node list.

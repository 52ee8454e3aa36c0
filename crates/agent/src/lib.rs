//! What every node runs towards the control plane: join, heartbeat, node list.

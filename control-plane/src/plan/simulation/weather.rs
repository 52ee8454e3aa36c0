//! What goes wrong.

use super::world::{Event, World};

impl World {
    /// One thing happens; when trouble is over, everything is well again.
    pub(super) fn weather(&mut self) {
        if !self.is_trouble() {
            return self.clear();
        }
        let after = self.random.between(100, 2_500);
        self.push(after, Event::Weather);
        let (member, node) = (self.random.index(self.members.len()), self.random.index(self.nodes.len()));
        match self.random.index(16) {
            0 | 1 => self.kill(node),
            2..=4 => self.start(node),
            5 => self.nodes[node].frozen = !self.nodes[node].frozen,
            6 => self.nodes[node].latency = [5, 50, 300, 700, 950, 2_000][self.random.index(6)],
            // The way from one vantage point to one node.
            7 | 8 => self.cut[member][node] = !self.cut[member][node],
            // One direction only.
            9 => self.deaf[member][node] = !self.deaf[member][node],
            // A whole region.
            10 => [node % 3, node % 3 + 3].into_iter().for_each(|node| self.kill(node)),
            // Everybody, from everywhere: the network of clinics is cut off from its control plane.
            11 => self.cut.iter_mut().for_each(|cuts| cuts[node] = true),
            12 => self.blind(member),
            13 => self.apart[member] = !self.apart[member],
            14 => self.stall(member),
            _ => {
                if self.is_fit(member) && self.leader != Some(member) {
                    self.lead(member);
                }
            }
        }
        self.observe();
    }

    fn clear(&mut self) {
        self.cut.iter_mut().chain(&mut self.deaf).for_each(|links| links.fill(false));
        self.apart.fill(false);
        for node in 0..self.nodes.len() {
            (self.nodes[node].frozen, self.nodes[node].latency) = (false, 20);
            self.start(node);
        }
        self.observe();
    }

    fn kill(&mut self, node: usize) {
        let there = &mut self.nodes[node];
        (there.alive, there.frozen) = (false, false);
    }

    /// What it was told it still knows.
    fn start(&mut self, node: usize) {
        let there = &mut self.nodes[node];
        if !there.alive {
            (there.alive, there.life, there.up_since) = (true, there.life + 1, self.now);
            let life = there.life;
            self.push(0, Event::Beat { node, life });
        }
    }

    fn blind(&mut self, member: usize) {
        let is_blind = self.cut[member].iter().all(|cut| *cut);
        self.cut[member].fill(!is_blind);
    }

    fn stall(&mut self, member: usize) {
        self.counts.stalls += 1;
        let until = self.now + self.random.between(400, 6_000);
        // What it was to do meanwhile waits until the longest has passed.
        let stalled_until = &mut self.members[member].stalled_until;
        *stalled_until = until.max(*stalled_until);
    }
}

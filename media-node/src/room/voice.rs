//! Who speaks: from the audio levels in RTP headers (RFC 6464), which stay readable under end-to-end encryption.

/// Voice quieter than this many decibels below overload is background.
const QUIETEST_DBOV: u8 = 35;

/// A packet of a microphone lasts 20 ms: so many make a window.
const PACKETS_IN_WINDOW: u32 = 20;

/// In this part of a window somebody has to be loud to speak, in percent: words have pauses, coughs are short.
const LOUD_PERCENT: u32 = 40;

/// Steps of the level clients are told: enough for a meter, and few messages.
const STEPS: f32 = 8.0;

/// Levels of one microphone.
#[derive(Debug, Default)]
pub(super) struct Voice {
    loud: u32,
    loudest: u8,
    told: Level,
}

/// What clients are told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Level {
    /// From 0 to 1, the loudest.
    pub level: f32,
    /// Whether it is speech.
    pub active: bool,
}

impl Voice {
    /// A packet's level as sent: the voice activity bit, which not every client sets, and −dBov.
    pub(super) fn hear(&mut self, audio_level: u8) {
        let below_overload = audio_level & 0x7F;
        if below_overload <= QUIETEST_DBOV {
            self.loud = self.loud.saturating_add(1);
            self.loudest = self.loudest.max(127 - below_overload);
        }
    }

    /// Ends the window. The level, if it is another than clients were told.
    pub(super) fn end_window(&mut self) -> Option<Level> {
        let (loud, loudest) = (std::mem::take(&mut self.loud), std::mem::take(&mut self.loudest));
        let active = loud * 100 >= PACKETS_IN_WINDOW * LOUD_PERCENT;
        let level = if active { stepped(127 - loudest) } else { 0.0 };
        let next = Level { level, active };
        (next != std::mem::replace(&mut self.told, next)).then_some(next)
    }

    /// What clients were told last.
    pub(super) const fn told(&self) -> Level {
        self.told
    }
}

/// From decibels to a part of one, in few steps and never to nothing.
fn stepped(below_overload: u8) -> f32 {
    let linear = 10_f32.powf(-f32::from(below_overload) / 20.0);
    ((linear * STEPS).ceil() / STEPS).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(voice: &mut Voice, levels: impl IntoIterator<Item = u8>) -> Option<Level> {
        for level in levels {
            voice.hear(level);
        }
        voice.end_window()
    }

    #[test]
    fn speech_is_told_once_and_so_is_its_end() {
        let mut voice = Voice::default();
        assert_eq!(window(&mut voice, [127; 20]), None, "silence is no news");
        let speaks = window(&mut voice, [0x80 | 20; 20]).unwrap();
        assert!(speaks.active && speaks.level > 0.0 && speaks.level < 0.5, "{speaks:?}");
        assert_eq!(window(&mut voice, [20; 20]), None);
        assert!(window(&mut voice, [2; 20]).unwrap().level > speaks.level, "louder");
        assert_eq!(window(&mut voice, []), Some(Level::default()), "no packets are silence");
        assert_eq!(voice.told(), Level::default());
    }

    #[test]
    fn a_cough_and_a_fan_are_no_speech() {
        let mut voice = Voice::default();
        let cough = (0..20).map(|i| if i < 7 { 5 } else { 90 });
        assert_eq!(window(&mut voice, cough), None);
        assert_eq!(window(&mut voice, [36; 20]), None);
        assert!(window(&mut voice, (0..20).map(|i| if i < 8 { 35 } else { 90 })).is_some());
    }

    #[test]
    fn whatever_is_sent_the_level_is_a_part_of_one() {
        for level in 0..=255 {
            let mut voice = Voice::default();
            let told = window(&mut voice, [level; 50]).unwrap_or_default();
            assert!((0.0..=1.0).contains(&told.level) && told.active == (told.level > 0.0), "{level}");
        }
    }
}

//! Where the people of each country are, on average and to a degree or so: good enough to say which of a few
//! regions is near. Countries by ISO 3166-1 and `XK`. An operator who knows better says so in `[dns.countries]`.

/// A point on the globe, in degrees; north and east are positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
}

impl Point {
    /// Kilometres along the surface (haversine; the earth as a ball).
    pub(crate) fn kilometres_to(self, other: Self) -> f64 {
        const EARTH_RADIUS_KM: f64 = 6_371.0;
        let radians = |degrees: f64| degrees.to_radians();
        let half = |a: f64, b: f64| (radians(b - a) / 2.0).sin().powi(2);
        let across = radians(self.latitude).cos() * radians(other.latitude).cos();
        let chord = half(self.latitude, other.latitude) + across * half(self.longitude, other.longitude);
        2.0 * EARTH_RADIUS_KM * chord.sqrt().min(1.0).asin()
    }
}

/// Where the people of a country are, by its two letters.
pub(crate) fn place(country: &str) -> Option<Point> {
    let found = COUNTRIES.binary_search_by(|(code, ..)| (*code).cmp(country)).ok()?;
    let (_, latitude, longitude) = COUNTRIES[found];
    Some(Point { latitude: latitude.into(), longitude: longitude.into() })
}

/// Code, latitude, longitude; ordered by code.
#[rustfmt::skip]
const COUNTRIES: [(&str, i16, i16); 250] = [
    ("AD", 43, 2), ("AE", 25, 55), ("AF", 35, 68), ("AG", 17, -62), ("AI", 18, -63), ("AL", 41, 20),
    ("AM", 40, 45), ("AO", -10, 15), ("AQ", -78, 167), ("AR", -34, -60), ("AS", -14, -171), ("AT", 48, 15),
    ("AU", -33, 147), ("AW", 13, -70), ("AX", 60, 20), ("AZ", 40, 49), ("BA", 44, 18), ("BB", 13, -60),
    ("BD", 24, 90), ("BE", 51, 4), ("BF", 12, -2), ("BG", 43, 25), ("BH", 26, 51), ("BI", -3, 30),
    ("BJ", 7, 2), ("BL", 18, -63), ("BM", 32, -65), ("BN", 5, 115), ("BO", -17, -66), ("BQ", 12, -68),
    ("BR", -19, -46), ("BS", 25, -77), ("BT", 27, 90), ("BV", -54, 3), ("BW", -24, 26), ("BY", 54, 28),
    ("BZ", 17, -89), ("CA", 45, -79), ("CC", -12, 97), ("CD", -4, 20), ("CF", 5, 19), ("CG", -4, 14),
    ("CH", 47, 8), ("CI", 6, -5), ("CK", -21, -160), ("CL", -34, -71), ("CM", 5, 11), ("CN", 32, 113),
    ("CO", 5, -75), ("CR", 10, -84), ("CU", 22, -80), ("CV", 15, -24), ("CW", 12, -69), ("CX", -10, 106),
    ("CY", 35, 33), ("CZ", 50, 15), ("DE", 51, 10), ("DJ", 12, 43), ("DK", 56, 11), ("DM", 15, -61),
    ("DO", 19, -70), ("DZ", 36, 3), ("EC", -1, -79), ("EE", 59, 25), ("EG", 30, 31), ("EH", 27, -13),
    ("ER", 15, 39), ("ES", 40, -3), ("ET", 9, 39), ("FI", 61, 25), ("FJ", -18, 178), ("FK", -52, -58),
    ("FM", 7, 158), ("FO", 62, -7), ("FR", 47, 2), ("GA", 0, 10), ("GB", 52, -1), ("GD", 12, -62),
    ("GE", 42, 44), ("GF", 5, -52), ("GG", 49, -3), ("GH", 6, -1), ("GI", 36, -5), ("GL", 64, -52),
    ("GM", 13, -17), ("GN", 10, -12), ("GP", 16, -62), ("GQ", 2, 10), ("GR", 38, 23), ("GS", -54, -37),
    ("GT", 15, -91), ("GU", 13, 145), ("GW", 12, -15), ("GY", 7, -58), ("HK", 22, 114), ("HM", -53, 74),
    ("HN", 15, -87), ("HR", 45, 16), ("HT", 19, -72), ("HU", 47, 19), ("ID", -7, 110), ("IE", 53, -7),
    ("IL", 32, 35), ("IM", 54, -5), ("IN", 22, 79), ("IO", -7, 72), ("IQ", 33, 44), ("IR", 35, 51),
    ("IS", 64, -22), ("IT", 43, 12), ("JE", 49, -2), ("JM", 18, -77), ("JO", 32, 36), ("JP", 36, 138),
    ("KE", -1, 37), ("KG", 42, 74), ("KH", 12, 105), ("KI", 1, 173), ("KM", -12, 43), ("KN", 17, -63),
    ("KP", 39, 126), ("KR", 37, 127), ("KW", 29, 48), ("KY", 19, -81), ("KZ", 47, 72), ("LA", 18, 103),
    ("LB", 34, 36), ("LC", 14, -61), ("LI", 47, 10), ("LK", 7, 80), ("LR", 6, -10), ("LS", -29, 28),
    ("LT", 55, 24), ("LU", 50, 6), ("LV", 57, 24), ("LY", 32, 14), ("MA", 33, -7), ("MC", 44, 7),
    ("MD", 47, 29), ("ME", 42, 19), ("MF", 18, -63), ("MG", -19, 47), ("MH", 7, 171), ("MK", 42, 21),
    ("ML", 13, -7), ("MM", 20, 96), ("MN", 48, 107), ("MO", 22, 114), ("MP", 15, 146), ("MQ", 15, -61),
    ("MR", 18, -15), ("MS", 17, -62), ("MT", 36, 14), ("MU", -20, 58), ("MV", 4, 73), ("MW", -14, 34),
    ("MX", 20, -100), ("MY", 4, 103), ("MZ", -19, 36), ("NA", -21, 17), ("NC", -22, 166), ("NE", 14, 6),
    ("NF", -29, 168), ("NG", 9, 7), ("NI", 12, -86), ("NL", 52, 5), ("NO", 60, 10), ("NP", 28, 85),
    ("NR", -1, 167), ("NU", -19, -170), ("NZ", -39, 175), ("OM", 23, 58), ("PA", 9, -80), ("PE", -11, -76),
    ("PF", -18, -150), ("PG", -6, 146), ("PH", 14, 121), ("PK", 31, 72), ("PL", 52, 19), ("PM", 47, -56),
    ("PN", -25, -130), ("PR", 18, -66), ("PS", 32, 35), ("PT", 40, -8), ("PW", 7, 134), ("PY", -25, -57),
    ("QA", 25, 51), ("RE", -21, 56), ("RO", 45, 25), ("RS", 44, 21), ("RU", 56, 47), ("RW", -2, 30),
    ("SA", 24, 46), ("SB", -9, 160), ("SC", -5, 55), ("SD", 15, 32), ("SE", 59, 16), ("SG", 1, 104),
    ("SH", -16, -6), ("SI", 46, 15), ("SJ", 78, 16), ("SK", 49, 19), ("SL", 8, -12), ("SM", 44, 12),
    ("SN", 15, -17), ("SO", 3, 45), ("SR", 6, -55), ("SS", 6, 31), ("ST", 0, 7), ("SV", 14, -89),
    ("SX", 18, -63), ("SY", 35, 37), ("SZ", -26, 31), ("TC", 22, -72), ("TD", 11, 16), ("TF", -49, 70),
    ("TG", 7, 1), ("TH", 15, 101), ("TJ", 38, 69), ("TK", -9, -172), ("TL", -9, 126), ("TM", 38, 59),
    ("TN", 36, 10), ("TO", -21, -175), ("TR", 39, 33), ("TT", 11, -61), ("TV", -8, 179), ("TW", 24, 121),
    ("TZ", -6, 36), ("UA", 49, 32), ("UG", 1, 32), ("UM", 19, 167), ("US", 38, -93), ("UY", -34, -56),
    ("UZ", 40, 68), ("VA", 42, 12), ("VC", 13, -61), ("VE", 10, -67), ("VG", 18, -65), ("VI", 18, -65),
    ("VN", 16, 107), ("VU", -17, 168), ("WF", -13, -176), ("WS", -14, -172), ("XK", 43, 21), ("YE", 14, 45),
    ("YT", -13, 45), ("ZA", -28, 28), ("ZM", -14, 28), ("ZW", -18, 31),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_once_and_on_the_globe() {
        assert!(COUNTRIES.is_sorted_by(|(a, ..), (b, ..)| a < b));
        for (code, latitude, longitude) in COUNTRIES {
            assert!(code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()), "{code}");
            assert!((-90..=90).contains(&latitude) && (-180..=180).contains(&longitude), "{code}");
        }
        assert!(place("ZZ").is_none() && place("us").is_none());
    }

    #[test]
    fn distances_are_those_of_the_atlas() {
        let point = |latitude, longitude| Point { latitude, longitude };
        let (london, new_york, sydney) = (point(51.5, -0.13), point(40.71, -74.0), point(-33.87, 151.2));
        assert!((london.kilometres_to(new_york) - 5_570.0).abs() < 15.0);
        assert!((london.kilometres_to(sydney) - 16_990.0).abs() < 40.0);
        assert!(london.kilometres_to(london) < 1e-6);
        // Across the line where longitudes begin anew.
        assert!(point(0.0, 179.0).kilometres_to(point(0.0, -179.0)) < 230.0);
    }

    /// For the three regions of the examples, country by country as a person would say it.
    #[test]
    fn countries_of_four_continents_have_the_region_one_would_expect() {
        let regions = [
            ("us-west", Point { latitude: 45.6, longitude: -121.2 }),
            ("us-east", Point { latitude: 39.0, longitude: -77.5 }),
            ("eu-central", Point { latitude: 50.1, longitude: 8.7 }),
        ];
        let nearest = |country: &str| {
            let here = place(country).unwrap();
            let distance = |point: &Point| here.kilometres_to(*point);
            regions.iter().min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b))).unwrap().0
        };
        for country in ["DE", "FR", "GB", "PL", "SE", "EG", "NG", "ZA", "KE", "IN", "RU", "IL", "TR", "MA"] {
            assert_eq!(nearest(country), "eu-central", "{country}");
        }
        for country in ["US", "CA", "BR", "AR", "CO", "CU", "PE"] {
            assert_eq!(nearest(country), "us-east", "{country}");
        }
        for country in ["JP", "NZ", "AU", "PF"] {
            assert_eq!(nearest(country), "us-west", "{country}");
        }
    }
}

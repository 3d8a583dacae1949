"""The papers' own figures, to stand beside ours.

KGQR: Zhou et al., 2020, Tables 3, 4 and 6. TPGR: Chen et al., 2019, Table 2. A method that a paper does not have is
not here.
"""

from __future__ import annotations

from collections.abc import Mapping

Figures = Mapping[str, tuple[float, ...]]

_KGQR_METHODS = ("GreedySVD", "GRU4Rec", "LinearUCB", "HLinearUCB", "DDPG-R", "DDPG-KNN (k=1)", "DDPG-KNN (k=0.1N)",
                 "DDPG-KNN (k=N)", "DQN-R", "KGQR")
_TPGR_METHODS = ("Popularity", "GreedySVD", "LinearUCB", "HLinearUCB", "DDPG-KNN (k=1)", "DDPG-KNN (k=0.1N)",
                 "DDPG-KNN (k=N)", "DDPG-R", "DQN-R", "TPGR")


def _rows(methods: tuple[str, ...], *columns: str) -> Figures:
    """Columns of numbers, as printed, to rows by method."""
    numbers = [[float(number) for number in column.split()] for column in columns]
    return dict(zip(methods, zip(*numbers, strict=True), strict=True))


# data set → η → method → (reward, precision, recall)
KGQR_TABLE3: Mapping[str, Mapping[float, Figures]] = {
    "book-crossing": {
        0.0: _rows(_KGQR_METHODS, "-.0890 .5162 -.0885 -.1346 .5521 .3159 .7312 .7639 .7634 .8307",
                   ".3947 .8611 .3956 .3819 .9115 .7302 .9907 .9927 .9936 .9945",
                   ".0031 .0070 .0032 .0031 .0074 .0059 .0080 .0081 .0081 .0081"),
        0.1: _rows(_KGQR_METHODS, "-.1637 1.3427 -.1640 -.3566 1.1412 .7312 2.0750 2.2729 2.2262 2.3451",
                   ".4052 .8595 .4049 .3841 .8800 .7990 .9813 .9942 .9907 .9971",
                   ".0032 .0070 .0032 .0031 .0072 .0065 .0080 .0081 .0080 .0081"),
        0.2: _rows(_KGQR_METHODS, "-.2268 2.1797 -.2268 -.6064 2.2057 .8409 3.3288 3.7179 3.6118 3.7661",
                   ".4133 .8625 .4133 .3713 .9270 .7472 .9758 .9915 .9881 .9966",
                   ".0033 .0070 .0033 .0031 .0076 .0061 .0079 .0081 .0080 .0081"),
    },
    "ml-20m": {
        0.0: _rows(_KGQR_METHODS, ".4320 .7822 .2307 .0995 .2979 .5755 .6694 .8071 .8863 .9213",
                   ".6569 .8382 .3790 .3852 .4917 .7293 .8167 .9606 .9680 .9726",
                   ".0049 .0074 .0029 .0029 .0034 .0059 .0070 .0082 .0086 .0086"),
        0.1: _rows(_KGQR_METHODS, ".6915 1.5267 .6147 .0172 1.4952 1.0854 1.1578 2.1544 2.3025 2.4242",
                   ".6199 .8253 .5821 .3841 .7626 .7165 .8165 .9446 .9667 .9722",
                   ".0048 .0072 .0046 .0028 .0055 .0058 .0069 .0081 .0081 .0083"),
        0.2: _rows(_KGQR_METHODS, ".9042 2.3500 .8017 .2265 2.3003 1.6912 2.2212 3.6071 3.4036 3.7695",
                   ".5932 .8316 .5614 .3774 .6977 .7371 .8215 .9533 .9089 .9713",
                   ".0046 .0073 .0044 .0027 .0045 .0061 .0068 .0082 .0071 .0084"),
    },
}

# data set → method → interactions to rewards 0.5, 1.0, 1.5, 2.0, in millions; NaN: not reached
KGQR_TABLE4: Mapping[str, Figures] = {
    "book-crossing": {"DDPG-R": (0.46, 2.49), "DDPG-KNN (k=N)": (0.20, 0.49, 1.46, 2.44),
                      "DQN-R": (0.20, 1.06, 3.09, 4.83), "KGQR": (0.06, 0.17, 0.24, 0.40)},
    "ml-20m": {"DDPG-R": (2.28, 2.62, 3.82), "DDPG-KNN (k=N)": (0.04, 0.07, 1.76, 2.42),
               "DQN-R": (0.06, 0.08, 2.47, 4.27), "KGQR": (0.04, 0.06, 0.16, 0.33)},
}

# data set → η → method → (reward, precision)
KGQR_TABLE6: Mapping[str, Mapping[float, Figures]] = {
    "book-crossing": {0.1: {"DQN-R": (2.2262, 0.9907), "KGQR-GCN-CS": (2.2181, 0.9819), "KGQR-CS": (2.2836, 0.9939),
                            "KGQR": (2.3451, 0.9971)}},
    "ml-20m": {0.1: {"DQN-R": (2.3025, 0.9667), "KGQR-GCN-CS": (2.2402, 0.9621), "KGQR-CS": (2.3689, 0.9698),
                     "KGQR": (2.4242, 0.9722)}},
}

# data set → α → method → (reward, precision, recall, F1)
TPGR_TABLE2: Mapping[str, Mapping[float, Figures]] = {
    "ml-10m": {
        0.0: _rows(_TPGR_METHODS, ".0315 .0561 .0680 .0847 .0116 .1053 .1764 .0898 .1610 .1861",
                   ".0405 .0756 .0920 .1160 .0234 .1589 .2605 .1396 .2309 .2729",
                   ".0264 .0529 .0627 .0759 .0082 .0823 .1615 .0647 .1304 .1698",
                   ".0257 .0498 .0597 .0734 .0098 .0861 .1562 .0714 .1326 .1666"),
        0.1: _rows(_TPGR_METHODS, ".0349 .0655 .0798 .1023 .0143 .1504 .2379 .1284 .2243 .2472",
                   ".0405 .0759 .0919 .1162 .0240 .1754 .2548 .1639 .2429 .2726",
                   ".0264 .0532 .0627 .0759 .0086 .0918 .1529 .0798 .1466 .1697",
                   ".0257 .0501 .0597 .0735 .0102 .0964 .1504 .0862 .1450 .1665"),
        0.2: _rows(_TPGR_METHODS, ".0383 .0751 .0917 .1196 .0159 .1850 .3029 .1414 .2490 .3101",
                   ".0405 .0760 .0919 .1165 .0239 .1780 .2542 .1418 .2140 .2729",
                   ".0264 .0532 .0627 .0761 .0086 .0922 .1437 .0656 .1170 .1702",
                   ".0257 .0502 .0598 .0737 .0102 .0975 .1477 .0724 .1204 .1667"),
    },
    "netflix": {
        0.0: _rows(_TPGR_METHODS, ".0000 .0255 .0557 .0800 .0195 .1127 .1355 .1008 .1531 .1881",
                   ".0002 .0320 .0682 .1005 .0291 .1546 .1750 .1300 .2029 .2511",
                   ".0001 .0113 .0212 .0314 .0092 .0452 .0447 .0343 .0731 .0936",
                   ".0001 .0132 .0263 .0387 .0106 .0561 .0598 .0441 .0824 .1045"),
        0.1: _rows(_TPGR_METHODS, ".0000 .0289 .0652 .0947 .0252 .1581 .1770 .1127 .2044 .2544",
                   ".0002 .0327 .0681 .0999 .0328 .1713 .1745 .1229 .1976 .2516",
                   ".0001 .0115 .0212 .0312 .0096 .0546 .0521 .0327 .0656 .0921",
                   ".0001 .0135 .0263 .0385 .0113 .0653 .0646 .0420 .0757 .1037"),
        0.2: _rows(_TPGR_METHODS, ".0000 .0310 .0744 .1077 .0272 .1848 .2519 .1412 .2447 .3171",
                   ".0002 .0315 .0679 .0995 .0314 .1676 .1987 .1263 .1927 .2483",
                   ".0001 .0113 .0211 .0310 .0094 .0517 .0584 .0351 .0526 .0866",
                   ".0001 .0132 .0262 .0382 .0111 .0632 .0739 .0445 .0677 .1003"),
    },
}

STAND_IN = {"ml-100k": "ml-20m", "ml-1m": "ml-20m", "ml-10m": "ml-20m"}
"""Whose figures of the KGQR paper stand beside a data set that it does not have."""
TPGR_STAND_IN = {"ml-100k": "ml-10m", "ml-1m": "ml-10m", "ml-20m": "ml-10m"}


def beside(figures: Mapping[str, Mapping[float, Figures]], dataset: str, eta: float,
           stand_in: Mapping[str, str]) -> tuple[str, Figures]:
    """(data set, figures by method) of a paper, for a setting; ("", {}) where the paper has nothing like it."""
    other = dataset if dataset in figures else stand_in.get(dataset, "")
    found = figures.get(other, {}).get(eta, {})
    return (other, found) if found else ("", {})

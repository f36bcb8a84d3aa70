"""Continual learning methods, one idea a file."""

from perdure.methods.agem import AGEM
from perdure.methods.cumulative import Cumulative
from perdure.methods.der import DER
from perdure.methods.derpp import DERpp
from perdure.methods.er import ER
from perdure.methods.erace import ERACE
from perdure.methods.ewc import EWC
from perdure.methods.gdumb import GDumb
from perdure.methods.gem import GEM
from perdure.methods.icarl import ICaRL
from perdure.methods.joint import Joint
from perdure.methods.lwf import LwF
from perdure.methods.mas import MAS
from perdure.methods.naive import Naive
from perdure.methods.onlineewc import OnlineEWC
from perdure.methods.packnet import PackNet
from perdure.methods.progressive import Progressive
from perdure.methods.si import SI

__all__ = [
    "AGEM",
    "DER",
    "ER",
    "ERACE",
    "EWC",
    "GEM",
    "MAS",
    "SI",
    "Cumulative",
    "DERpp",
    "GDumb",
    "ICaRL",
    "Joint",
    "LwF",
    "Naive",
    "OnlineEWC",
    "PackNet",
    "Progressive",
]

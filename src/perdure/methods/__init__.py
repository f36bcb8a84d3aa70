"""Continual learning methods, one idea a file."""

from perdure.methods.agem import AGEM
from perdure.methods.ar1star import AR1Star
from perdure.methods.bic import BiC
from perdure.methods.continualbackprop import ContinualBackprop
from perdure.methods.cumulative import Cumulative
from perdure.methods.cwrstar import CWRStar
from perdure.methods.der import DER
from perdure.methods.derpp import DERpp
from perdure.methods.ema import EMA
from perdure.methods.er import ER
from perdure.methods.erace import ERACE
from perdure.methods.ewc import EWC
from perdure.methods.featurereplay import FeatureReplay
from perdure.methods.fecam import FeCAM
from perdure.methods.firstsession import FirstSession
from perdure.methods.gdumb import GDumb
from perdure.methods.gem import GEM
from perdure.methods.generativereplay import GenerativeReplay
from perdure.methods.gpm import GPM
from perdure.methods.hat import HAT
from perdure.methods.icarl import ICaRL
from perdure.methods.inflora import InfLoRA
from perdure.methods.joint import Joint
from perdure.methods.l2init import L2Init
from perdure.methods.l2p import L2P
from perdure.methods.latentreplay import LatentReplay
from perdure.methods.lora import LoRA
from perdure.methods.lucir import LUCIR
from perdure.methods.lwf import LwF
from perdure.methods.lwfmc import LwFMC
from perdure.methods.mas import MAS
from perdure.methods.mir import MIR
from perdure.methods.naive import Naive
from perdure.methods.ncm import NCM
from perdure.methods.olora import OLoRA
from perdure.methods.onlineewc import OnlineEWC
from perdure.methods.packnet import PackNet
from perdure.methods.progressive import Progressive
from perdure.methods.prompts import Prompts
from perdure.methods.ranpac import RanPAC
from perdure.methods.ridge import Ridge
from perdure.methods.shrinkperturb import ShrinkPerturb
from perdure.methods.si import SI
from perdure.methods.slca import SLCA
from perdure.methods.slda import SLDA
from perdure.methods.wa import WA
from perdure.methods.wiseft import WiSEFT
from perdure.methods.xder import XDER

__all__ = [
    "AGEM",
    "DER",
    "EMA",
    "ER",
    "ERACE",
    "EWC",
    "GEM",
    "GPM",
    "HAT",
    "L2P",
    "LUCIR",
    "MAS",
    "MIR",
    "NCM",
    "SI",
    "SLCA",
    "SLDA",
    "WA",
    "XDER",
    "AR1Star",
    "BiC",
    "CWRStar",
    "ContinualBackprop",
    "Cumulative",
    "DERpp",
    "FeCAM",
    "FeatureReplay",
    "FirstSession",
    "GDumb",
    "GenerativeReplay",
    "ICaRL",
    "InfLoRA",
    "Joint",
    "L2Init",
    "LatentReplay",
    "LoRA",
    "LwF",
    "LwFMC",
    "Naive",
    "OLoRA",
    "OnlineEWC",
    "PackNet",
    "Progressive",
    "Prompts",
    "RanPAC",
    "Ridge",
    "ShrinkPerturb",
    "WiSEFT",
]

"""Attention-based losses as pure functions, student before teacher.

They take any floating dtype and compute in at least float32. Neither side is detached: run the teacher under
``torch.no_grad`` unless it should receive gradients.
"""

from kdzoo_attention.functional.afd import link_weights, linked_attention_loss
from kdzoo_attention.functional.at import attention_loss, attention_map
from kdzoo_attention.functional.catkd import class_attention_loss, class_maps
from kdzoo_attention.functional.semckd import cross_layer_loss, layer_attention, similarity_profiles
from kdzoo_attention.functional.vit_attention import pool_tokens, token_attention_loss, value_relations

__all__ = [
    "attention_loss",
    "attention_map",
    "class_attention_loss",
    "class_maps",
    "cross_layer_loss",
    "layer_attention",
    "link_weights",
    "linked_attention_loss",
    "pool_tokens",
    "similarity_profiles",
    "token_attention_loss",
    "value_relations",
]

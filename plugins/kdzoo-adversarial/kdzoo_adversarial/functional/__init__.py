"""Adversarial losses as pure functions of logits and maps.

They take any floating dtype and compute in float32 at least. B is the number of samples, K that of classes.
"""

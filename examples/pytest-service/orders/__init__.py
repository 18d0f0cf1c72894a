"""Adds up orders by customer."""

from orders.service import Service, Topics

__all__ = ["Service", "Topics"]

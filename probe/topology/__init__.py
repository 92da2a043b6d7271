"""Rooms that ask the cluster's network for facts: who announces, which node has an endpoint."""

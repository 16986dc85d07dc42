"""Searches of the white-box attacks that compute their points: over leaves of trees and over patterns of units."""

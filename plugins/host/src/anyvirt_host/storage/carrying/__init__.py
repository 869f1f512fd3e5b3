"""The bytes of volumes on their way in and out."""

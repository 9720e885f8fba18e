//! The Azure Machine Learning identity endpoints.

"""Configurations of encoders small enough for a test."""

CONVOLUTIONS = {
    "conv_dim": (32,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
TRANSFORMER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
DROPOUTS = ["layerdrop", "hidden_dropout", "attention_dropout", "final_dropout"]
TINY = {
    **CONVOLUTIONS,
    **TRANSFORMER,
    **dict.fromkeys(DROPOUTS, 0.0),
    "feat_proj_dropout": 0.0,
    "mask_time_length": 4,
    "classifier_proj_size": 32,
}
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
WHISPER = {
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 64,
    "num_mel_bins": 16,
    "max_source_positions": 100,  # two frames of 10 ms each
    "classifier_proj_size": 32,
}
MOONSHINE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "encoder_num_hidden_layers": 2,
    "encoder_num_attention_heads": 2,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "mask_time_length": 4,
}

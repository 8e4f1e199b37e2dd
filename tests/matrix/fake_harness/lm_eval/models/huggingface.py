import torch


class HFLM:
    def __init__(self, pretrained, tokenizer, backend, max_length, batch_size):
        assert tokenizer.pad_token and backend in ("causal", "seq2seq") and batch_size == 1
        self.model, self.max_length = pretrained, max_length

    @torch.no_grad()
    def mean_logit(self):
        ids = torch.tensor([[5, 6, 7]])
        more = {"decoder_input_ids": ids} if self.model.config.is_encoder_decoder else {}
        return float(self.model(input_ids=ids, **more).logits[..., 7].mean())
